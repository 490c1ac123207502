#include "case_main.hpp"

#include "case_report.hpp"
#include "verdict.hpp"

#include <fmt/format.h>

#include <string_view>
#include <vector>

namespace bench {
namespace {

case_arguments parse(const case_suite& suite, const case_extras& extras, int argc, char** argv) {
  case_arguments parsed;
  bool repeats_given = false;
  for (option_reader options(argc, argv); options.next();) {
    const std::string_view option = options.name();
    if (option == "--rows") {
      for (const std::string& key : split(options.value())) parsed.options.kinds.push_back(&suite.find(key));
    } else if (option == "--columns") {
      for (const std::string& key : split(options.value())) parsed.options.columns.push_back(find_column(key));
    } else if (option == "--operations") {
      parsed.options.operations = parse_number<std::uint64_t>(option, options.value(), 8, 1'000'000'000);
    } else if (option == "--repeats") {
      parsed.options.repeats = parse_number<unsigned>(option, options.value(), 1, 1000);
      repeats_given = true;
    } else if (option == "--json") {
      parsed.json = options.value();
    } else if (option == "--smoke") {
      parsed.options.smoke = true;
    } else if (option == "--check") {
      parsed.check = true;
    } else if (!extras.take(options)) {
      options.refuse();
    }
  }
  if (parsed.options.smoke && !repeats_given) parsed.options.repeats = 1;
  return parsed;
}

/// In a process made for one row: --alone ROW COLUMN OPERATIONS smoke|whole. Prints what it finds as the peers do.
int run_alone(const case_suite& suite, char** argv) {
  const case_sample found =
      suite.run(suite.find(argv[2]), parse_number<std::uint64_t>(argv[1], argv[4], 1, 1'000'000'000),
                find_column(argv[3]), std::string_view(argv[5]) == "smoke");
  fmt::print("{:.3f} {:.4f} {}\n", found.value, found.seconds, found.right ? "right" : "wrong");
  return 0;
}

int run(const case_suite& suite, const case_extras& extras, const case_arguments& a) {
  case_report report = run_cases(suite, a.options, show_progress);
  fmt::print("\n{}\n", case_table(report));
  for (const std::string& note : case_notes(report)) fmt::print("{}\n", note);
  const std::string more = extras.run(report, a);
  return conclude(a.options.smoke ? std::vector<target>() : check_targets(report), a.check, a.json,
                  to_json(report, more), report.failures);
}

}  // namespace

int case_main(const case_suite& suite, int argc, char** argv, const case_extras& extras) {
  return report_errors([&] {
    if (argc == 6 && std::string_view(argv[1]) == "--alone") return run_alone(suite, argv);
    return run(suite, extras, parse(suite, extras, argc, argv));
  });
}

}  // namespace bench
