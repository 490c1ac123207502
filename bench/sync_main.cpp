// `bench sync`: what channels, locks, timers and tasks cost.

#include "command_line.hpp"
#include "sync_bench.hpp"
#include "sync_report.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>

namespace {

struct arguments {
  bench::sync_options options;
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
      for (const std::string& key : bench::split(value())) parsed.options.kinds.push_back(&bench::find_sync_kind(key));
    } else if (option == "--columns") {
      for (const std::string& key : bench::split(value()))
        parsed.options.columns.push_back(bench::find_sync_column(key));
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
    parsed.options.divisor = 20;
    if (!repeats_given) parsed.options.repeats = 1;
  }
  return parsed;
}

int run(const arguments& a) {
  const bench::sync_report report = bench::run_sync(a.options, bench::show_progress);
  fmt::print("\n{}\n", bench::sync_table(report));
  for (const std::string& note : bench::sync_notes(report)) fmt::print("{}\n", note);
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
    return run(parse(argc, argv));
  } catch (const std::invalid_argument& e) {
    fmt::print(stderr, "bench: {}\n", e.what());
    return 2;
  } catch (const std::exception& e) {
    fmt::print(stderr, "bench: {}\n", e.what());
    return 1;
  }
}
