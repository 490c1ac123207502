#pragma once
// How a bench ends: what of its targets was met, what failed, and its exit status.

#include "command_line.hpp"
#include "json.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <string>
#include <vector>

namespace bench {

/// One of the project's own limits, as a sentence.
struct target {
  std::string sentence;
  bool met;
};

/// Prints them; writes `json`, an object that tells what was found, with them to `file` if there is one; prints the
/// failures. Returns the exit status: 1 after a failure, and with `check` when a target was missed.
inline int conclude(const std::vector<target>& targets, bool check, const std::string& file, const std::string& json,
                    const std::vector<std::string>& failures) {
  bool missed = false;
  std::vector<std::string> sentences;
  for (const target& t : targets) {
    fmt::print("{}\n", t.sentence);
    sentences.push_back(t.sentence);
    missed |= !t.met;
  }
  write_file(file, with_member(json, "targets", json_strings(sentences)));
  for (const std::string& failure : failures) fmt::print(stderr, "FAILED: {}\n", failure);
  return failures.empty() && !(check && missed) ? 0 : 1;
}

}  // namespace bench
