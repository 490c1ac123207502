#include "runtime_report.hpp"

#include "build_kind.hpp"
#include "json.hpp"
#include "table.hpp"

#include <fmt/format.h>

#include <cmath>

namespace bench {
namespace {

std::string_view unit_of(const runtime_kind& kind) {
  switch (kind.which) {
    case runtime_case::sleeps:
      return "ms of CPU";
    case runtime_case::parked:
      return "bytes";
    default:
      return "ns";
  }
}

int digits_of(const runtime_kind& kind) { return kind.alone() ? 0 : 1; }

}  // namespace

std::string runtime_table(const runtime_report& report) {
  std::vector<std::vector<std::string>> cells{{"ns for each operation", "raw", "weir confined", ":raw", "weir 1 worker",
                                               ":raw", "weir 2 workers", "new: 1 worker", "new: 2"}};
  std::vector<runtime_column> peers;
  if (report.has_go) peers.insert(peers.end(), {runtime_column::go_one, runtime_column::go_two});
  if (report.has_tokio) peers.insert(peers.end(), {runtime_column::tokio_one, runtime_column::tokio_two});
  for (const runtime_column peer : peers) cells.front().emplace_back(title_of(peer));
  for (const runtime_row& row : report.rows) {
    const auto cell = [&](runtime_column column) {
      return row.kind->has(column) ? figure(row.median(column), digits_of(*row.kind)) : std::string("-");
    };
    const auto ratio = [&](runtime_column column) {
      return row.kind->has(column) && row.kind->has(runtime_column::raw) ? figure(row.vs_raw(column), 1)
                                                                         : std::string("-");
    };
    const auto allocations = [&](double most) { return row.kind->alone() ? std::string("-") : figure(most, 3); };
    cells.push_back(
        {std::string(row.kind->title), cell(runtime_column::raw), cell(runtime_column::confined),
         ratio(runtime_column::confined), cell(runtime_column::one_worker), ratio(runtime_column::one_worker),
         cell(runtime_column::two_workers),
         allocations(std::fmax(row.allocations(runtime_column::confined), row.allocations(runtime_column::one_worker))),
         allocations(row.allocations(runtime_column::two_workers))});
    for (const runtime_column peer : peers) cells.back().push_back(cell(peer));
    if (row.kind->which != runtime_case::sleeps) continue;
    const auto seconds = [&](runtime_column column) { return figure(row.median_seconds(column), 3); };
    cells.push_back({"  and the time that passed: s", "-", seconds(runtime_column::confined), "-",
                     seconds(runtime_column::one_worker), "-", seconds(runtime_column::two_workers), "-", "-"});
    for (const runtime_column peer : peers) cells.back().push_back(seconds(peer));
  }
  return format_table(cells);
}

std::vector<std::string> runtime_notes(const runtime_report& report) {
  std::vector<std::string> notes;
  if (!built_for_speed)
    notes.emplace_back("Built without optimisation or with a sanitizer: not a measurement of speed.");
  notes.push_back(
      fmt::format("Medians over {} round(s). One thread: its CPU time; two: the time that passed. \":raw\" is the "
                  "ratio to the raw floor,\ntaken within each round. new: allocations for each operation, the most of "
                  "all rounds, once the program is warm;\nmany tasks at once are more than a worker keeps frames for.",
                  report.options.repeats));
  if (!report.has_go) notes.emplace_back("Go is not installed here (golang-go): its columns are left out.");
  if (!report.has_tokio) {
    notes.emplace_back(
        "Tokio is not installed here (cargo, rustc, librust-tokio-dev of Debian): its columns are left out.");
  }
  if (report.disturbed > 0) {
    notes.push_back(
        fmt::format("In {} of {} runs with one thread other programs held it up by more than a tenth. Then the figures "
                    "for two threads are too\nhigh, and the others somewhat: repeat on a quiet machine.",
                    report.disturbed, report.alone));
  }
  return notes;
}

std::vector<target> check_targets(const runtime_report& report) {
  std::vector<target> targets;
  const auto add = [&targets](const std::string& what, bool met) {
    targets.push_back({fmt::format("{}: {})", what, met ? "met" : "missed"), met});
  };
  for (const runtime_row& row : report.rows) {
    const auto check = [&](runtime_column column, double most) {
      const double value = row.median(column);
      if (!std::isfinite(most) || !std::isfinite(value)) return;
      add(fmt::format("{}, {}: {:.1f} {} (at most {:.0f}", title_of(column), row.kind->title, value, unit_of(*row.kind),
                      most),
          value <= most);
    };
    check(runtime_column::confined, row.kind->most_confined);
    check(runtime_column::one_worker, row.kind->most_one);
    for (const runtime_column column : {runtime_column::confined, runtime_column::one_worker}) {
      const double seconds = row.median_seconds(column);
      if (row.kind->which != runtime_case::sleeps || !std::isfinite(seconds)) continue;
      add(fmt::format("{}, {}: {:.3f} s passed (at most {:.2f}", title_of(column), row.kind->title, seconds,
                      most_stretched_sleep),
          seconds <= most_stretched_sleep);
    }
    const auto ahead = [&](runtime_column mine, runtime_column peer) {
      const double here = row.median(mine);
      const double there = row.median(peer);
      if (!std::isfinite(here) || !std::isfinite(there)) return;
      add(fmt::format("{}, {}: {:.1f} {} (below {}, {:.1f}", title_of(mine), row.kind->title, here, unit_of(*row.kind),
                      title_of(peer), there),
          here < there);
    };
    ahead(runtime_column::one_worker, runtime_column::go_one);
    ahead(runtime_column::one_worker, runtime_column::tokio_one);
    ahead(runtime_column::two_workers, runtime_column::go_two);
    ahead(runtime_column::two_workers, runtime_column::tokio_two);
  }
  return targets;
}

std::string to_json(const runtime_report& report) {
  std::string out =
      fmt::format(R"({{"bench": "runtime", "repeats": {}, "runs_disturbed": {}, "runs_alone": {}, "rows": [)",
                  report.options.repeats, report.disturbed, report.alone);
  for (std::size_t i = 0; i < report.rows.size(); ++i) {
    const runtime_row& row = report.rows[i];
    out += fmt::format(R"({}{{"row": {}, "operations": {}, "unit": {}, "columns": [)", i == 0 ? "\n" : ",\n",
                       json_string(row.kind->key), row.operations, json_string(unit_of(*row.kind)));
    bool first = true;
    for (std::size_t c = 0; c < runtime_columns; ++c) {
      const auto column = static_cast<runtime_column>(c);
      if (row.rounds[c].empty()) continue;
      out +=
          fmt::format(R"({}{{"column": {}, "value": {}, "vs_raw": {}, "allocations": {}, "seconds": {}, "rounds": [)",
                      first ? "" : ", ", json_string(title_of(column)), json_number(row.median(column)),
                      json_number(row.vs_raw(column)), json_number(row.allocations(column)),
                      json_number(row.median_seconds(column)));
      first = false;
      for (std::size_t r = 0; r < row.rounds[c].size(); ++r)
        out += (r == 0 ? "" : ", ") + json_number(row.rounds[c][r].ns);
      out += "]}";
    }
    out += "]}";
  }
  return out + "],\n\"failures\": " + json_strings(report.failures) + "}\n";
}

}  // namespace bench
