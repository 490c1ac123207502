// The program behind `bench io`; `bench help` tells its options.

#include "build_kind.hpp"
#include "command_line.hpp"
#include "file_programs.hpp"
#include "io_bench.hpp"
#include "verdict.hpp"

#include <fmt/format.h>

#include <string_view>

namespace {

int run(int argc, char** argv) {
  bench::io_options options;
  bool check = false;
  bool repeats_given = false;
  std::string json;
  for (bench::option_reader read(argc, argv); read.next();) {
    const std::string_view option = read.name();
    if (option == "--rows") {
      options.rows = bench::split(read.value());
      for (const std::string& key : options.rows) bench::find_io_kind(key);
    } else if (option == "--directory") {
      options.directory = read.value();
    } else if (option == "--repeats") {
      options.repeats = bench::parse_number<unsigned>(option, read.value(), 1, 1000);
      repeats_given = true;
    } else if (option == "--json") {
      json = read.value();
    } else if (option == "--smoke") {
      options.smoke = true;
    } else if (option == "--check") {
      check = true;
    } else {
      read.refuse();
    }
  }
  if (options.smoke && !repeats_given) options.repeats = 1;
  const bench::io_report report = bench::run_io(options, bench::show_progress);
  for (const bench::io_row& row : report.rows) fmt::print("\n{}", bench::io_table(row));
  if (!bench::built_for_speed)
    fmt::print("\nBuilt without optimisation or with a sanitizer: not a measurement of speed.\n");
  fmt::print(
      "\nMedians over {} round(s); \":\" is a ratio taken within each round. CPU is the server's, or that of the "
      "process\n"
      "and of what the kernel runs for its ring; fio's is its own account. Every answer was checked.\n",
      options.repeats);
  for (const std::string& reason : report.left_out) fmt::print("{}\n", reason);
  return bench::conclude(options.smoke ? std::vector<bench::target>() : bench::check_targets(report), check, json,
                         bench::to_json(report), report.failures);
}

}  // namespace

int main(int argc, char** argv) {
  return bench::report_errors([&] {
    if (argc == 7 && std::string_view(argv[1]) == "--alone") return bench::run_file_program(argv + 2);
    return run(argc, argv);
  });
}
