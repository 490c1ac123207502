#pragma once
// What the programs behind `bench sync`, `bench runtime` and `bench patterns` do with their arguments.

#include "case_bench.hpp"
#include "command_line.hpp"

#include <functional>
#include <string>

namespace bench {

struct case_arguments {
  case_options options;
  bool check = false;
  std::string json;
};

/// What a program has beside its rows.
struct case_extras {
  /// Takes an option that the others do not know, or refuses it by returning false.
  std::function<bool(option_reader&)> take = [](option_reader&) { return false; };
  /// Runs after the rows; adds to the failures, and returns further members of the JSON, each begun with a comma.
  std::function<std::string(case_report&, const case_arguments&)> run = [](case_report&, const case_arguments&) {
    return std::string();
  };
};

/// Parses the arguments, runs the rows, prints what they show, and returns the exit status.
int case_main(const case_suite& suite, int argc, char** argv, const case_extras& extras = {});

}  // namespace bench
