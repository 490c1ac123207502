// `bench patterns`: what pipelines and pools cost.

#include "case_main.hpp"
#include "log_pipeline.hpp"
#include "pipeline_cases.hpp"
#include "pool_cases.hpp"
#include "pool_sweep.hpp"
#include "table.hpp"
#include "weir_library.hpp"

#include <fmt/format.h>

#include <array>
#include <chrono>
#include <string>
#include <vector>

namespace {

using bench::case_kind;
using bench::column;
using bench::no_limit;

enum class patterns_case : std::uint8_t { fused, queued, pool, full_pool, logs, logs_spin };

constexpr bench::column_set weir_only{column::confined, column::one_worker, column::two_workers};
constexpr bench::column_set weir_and_go{column::confined, column::one_worker, column::two_workers, column::go_one,
                                        column::go_two};

constexpr case_kind row(patterns_case which, std::string_view key, std::string_view title, std::uint64_t operations,
                        std::uint64_t smoke_operations, bench::column_set columns) {
  return {.which = static_cast<unsigned>(which),
          .key = key,
          .title = title,
          .operations = operations,
          .smoke_operations = smoke_operations,
          .columns = columns};
}
constexpr case_kind with_goals(case_kind kind, double confined, double one, double two) {
  kind.most_confined = confined;
  kind.most_one = one;
  kind.most_two = two;
  return kind;
}
/// Go must need at least so many times as long.
constexpr case_kind with_lead(case_kind kind, double lead) {
  kind.lead = lead;
  kind.most_rounds = 3;
  return kind;
}
constexpr case_kind elapsed(case_kind kind) {
  kind.how = bench::taken::elapsed;
  kind.unit = "s";
  kind.digits = 2;
  kind.most_rounds = 1;
  return kind;
}

constexpr std::uint64_t logs = 100'000;
// A twentieth more than the waits alone take.
constexpr double most_seconds_for_logs = 1.05 * static_cast<double>(logs) * bench::ideal_seconds_for_a_log;

constexpr std::array kinds{
    with_lead(row(patterns_case::fused, "fused", "five stages, in one task", 10'000'000, 50'000, weir_and_go), 3),
    with_lead(row(patterns_case::queued, "queued", "five stages, a task each", 10'000'000, 50'000, weir_and_go), 1),
    with_goals(row(patterns_case::pool, "pool", "pool of 8, trivial job", 1'000'000, 20'000, weir_and_go), 45, no_limit,
               120),
    row(patterns_case::full_pool, "full_pool", "growing, limited, failing pool", 1'000'000, 20'000, weir_only),
    elapsed(row(patterns_case::logs, "logs", "100k logs, 100 us to store: s", logs, 1'000, weir_and_go)),
    with_goals(elapsed(row(patterns_case::logs_spin, "logs_spin", "the same, workers spin: s", logs, 1'000, weir_only)),
               most_seconds_for_logs, most_seconds_for_logs, most_seconds_for_logs),
};

template <class Case>
bench::case_sample run_case(std::uint64_t operations, column c) {
  return weir::run(bench::run_weir_case<Case>(operations, !with_two_threads(c)), bench::weir_options(c));
}

bench::case_sample run(const case_kind& kind, std::uint64_t operations, column c, bool) {
  switch (static_cast<patterns_case>(kind.which)) {
    case patterns_case::fused:
      return run_case<bench::pipeline_case<false>>(operations, c);
    case patterns_case::queued:
      return run_case<bench::pipeline_case<true>>(operations, c);
    case patterns_case::pool:
      return run_case<bench::trivial_pool_case>(operations, c);
    case patterns_case::full_pool:
      return run_case<bench::full_pool_case>(operations, c);
    case patterns_case::logs:
      return bench::run_log_pipeline(operations, c, std::chrono::nanoseconds(0));
    case patterns_case::logs_spin:
      break;
  }
  return bench::run_log_pipeline(operations, c, std::chrono::microseconds(200));
}

/// Pipelines and pools allocate when they start, not for an item or a job. An exception is one, and what is thrown may
/// take several.
double most_allocations(const case_kind& kind, column) {
  constexpr double start = 500;
  return static_cast<patterns_case>(kind.which) == patterns_case::full_pool ? no_limit : start;
}

/// How many times in a second, where that is the more usual figure.
std::string rates(const bench::case_report& report) {
  std::vector<std::vector<std::string>> lines{{"million a second"}};
  for (const column c : report.columns) {
    if (c != column::raw) lines.front().emplace_back(title_of(c));
  }
  for (const bench::case_row& row : report.rows) {
    if (row.kind->how != bench::taken::each) continue;
    lines.push_back({std::string(row.kind->title)});
    for (const column c : report.columns) {
      if (c != column::raw)
        lines.back().push_back(row.kind->columns.contains(c) ? bench::figure(1000 / row.median(c), 2) : "-");
    }
  }
  return lines.size() == 1 ? std::string() : bench::format_table(lines) + "\n";
}

}  // namespace

int main(int argc, char** argv) {
  std::string svg;
  const auto take = [&](bench::option_reader& options) {
    if (options.name() != "--svg") return false;
    svg = options.value();
    return true;
  };
  const auto finish = [&](bench::case_report& report, const bench::case_arguments& a) -> std::string {
    fmt::print("\n{}", rates(report));
    for (const bench::case_row& row : report.rows) {
      if (row.kind->which != static_cast<unsigned>(patterns_case::logs)) continue;
      fmt::print("The waits of {} logs alone take {:.2f} s.\n", row.operations,
                 static_cast<double>(row.operations) * bench::ideal_seconds_for_a_log);
    }
    fmt::print("\n");
    if (!a.options.kinds.empty() && svg.empty()) return {};
    const bench::pool_sweep sweep = bench::sweep_pool(a.options.smoke, bench::show_progress);
    fmt::print("\n{}", sweep_tables(sweep));
    bench::write_file(svg, to_svg(sweep_plot(sweep)));
    report.failures.insert(report.failures.end(), sweep.failures.begin(), sweep.failures.end());
    return ",\n\"sweep\": " + to_json(sweep);
  };
  return bench::case_main({.name = "patterns", .kinds = kinds, .run = run, .most_allocations = most_allocations}, argc,
                          argv, {.take = take, .run = finish});
}
