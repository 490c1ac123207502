// `bench runtime`: what tasks, turns, timers and uncontended locks cost.

#include "command_line.hpp"
#include "runtime_bench.hpp"
#include "runtime_report.hpp"

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
  for (int i = 1; i < argc; ++i) {
    const std::string_view option = argv[i];
    const auto value = [&]() -> std::string_view {
      if (i + 1 >= argc) throw std::invalid_argument(fmt::format("{} needs a value", option));
      return argv[++i];
    };
    if (option == "--rows") {
      for (const std::string& key : bench::split(value()))
        parsed.options.kinds.push_back(&bench::find_runtime_kind(key));
    } else if (option == "--columns") {
      for (const std::string& key : bench::split(value()))
        parsed.options.columns.push_back(bench::find_runtime_column(key));
    } else if (option == "--operations") {
      parsed.options.operations = bench::parse_number<std::uint64_t>(option, value(), 8, 1'000'000'000);
    } else if (option == "--repeats") {
      parsed.options.repeats = bench::parse_number<unsigned>(option, value(), 1, 1000);
      repeats_given = true;
    } else if (option == "--json") {
      parsed.json = value();
    } else if (option == "--smoke") {
      parsed.smoke = true;
    } else if (option == "--check") {
      parsed.check = true;
    } else {
      throw std::invalid_argument(fmt::format("unknown option {}; see `bench help`", option));
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
  bool missed = false;
  if (!a.smoke) {
    for (const auto& [sentence, met] : bench::check_targets(report)) {
      fmt::print("{}\n", sentence);
      missed |= !met;
    }
  }
  bench::write_file(a.json, bench::to_json(report));
  for (const std::string& failure : report.failures) fmt::print(stderr, "FAILED: {}\n", failure);
  return report.failures.empty() && !(a.check && missed) ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc == 6 && std::string_view(argv[1]) == "--alone") return run_alone(argv);
    return run(parse(argc, argv));
  } catch (const std::invalid_argument& e) {
    fmt::print(stderr, "bench: {}\n", e.what());
    return 2;
  } catch (const std::exception& e) {
    fmt::print(stderr, "bench: {}\n", e.what());
    return 1;
  }
}
