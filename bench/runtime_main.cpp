// `bench runtime`: what tasks, turns, timers and uncontended locks cost.

#include "command_line.hpp"
#include "runtime_bench.hpp"
#include "runtime_report.hpp"
#include "verdict.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>

namespace {

struct arguments {
  bench::runtime_bench_options options;
  bool smoke = false;
  bool check = false;
  std::string json;
};

arguments parse(int argc, char** argv) {
  arguments parsed;
  bool repeats_given = false;
  for (bench::option_reader options(argc, argv); options.next();) {
    const std::string_view option = options.name();
    if (option == "--rows") {
      for (const std::string& key : bench::split(options.value()))
        parsed.options.kinds.push_back(&bench::find_runtime_kind(key));
    } else if (option == "--columns") {
      for (const std::string& key : bench::split(options.value()))
        parsed.options.columns.push_back(bench::find_runtime_column(key));
    } else if (option == "--operations") {
      parsed.options.operations = bench::parse_number<std::uint64_t>(option, options.value(), 8, 1'000'000'000);
    } else if (option == "--repeats") {
      parsed.options.repeats = bench::parse_number<unsigned>(option, options.value(), 1, 1000);
      repeats_given = true;
    } else if (option == "--json") {
      parsed.json = options.value();
    } else if (option == "--smoke") {
      parsed.smoke = true;
    } else if (option == "--check") {
      parsed.check = true;
    } else {
      options.refuse();
    }
  }
  if (parsed.smoke) {
    parsed.options.smoke = true;
    if (!repeats_given) parsed.options.repeats = 1;
  }
  return parsed;
}

/// In a process that run() has made: --alone ROW COLUMN OPERATIONS smoke|whole
int run_alone(char** argv) {
  bench::print_alone(bench::find_runtime_kind(argv[2]), bench::find_runtime_column(argv[3]),
                     bench::parse_number<std::uint64_t>(argv[1], argv[4], 1, 1'000'000'000),
                     std::string_view(argv[5]) == "smoke");
  return 0;
}

int run(const arguments& a) {
  const bench::runtime_report report = bench::run_runtime(a.options, bench::show_progress);
  fmt::print("\n{}\n", bench::runtime_table(report));
  for (const std::string& note : bench::runtime_notes(report)) fmt::print("{}\n", note);
  return bench::conclude(a.smoke ? std::vector<bench::target>() : bench::check_targets(report), a.check, a.json,
                         bench::to_json(report), report.failures);
}

}  // namespace

int main(int argc, char** argv) {
  return bench::report_errors([&] {
    if (argc == 6 && std::string_view(argv[1]) == "--alone") return run_alone(argv);
    return run(parse(argc, argv));
  });
}
