#include "sync_report.hpp"

#include "build_kind.hpp"
#include "json.hpp"
#include "table.hpp"

#include <fmt/format.h>

#include <cmath>

namespace bench {

std::string sync_table(const sync_report& report) {
  std::vector<std::vector<std::string>> cells{{"ns for each operation", "raw", "weir confined", ":raw", "weir 1 worker",
                                               ":raw", "weir 2 workers", "new: 1 worker", "new: 2"}};
  if (report.has_go) cells.front().insert(cells.front().end(), {"Go 1", "Go 2"});
  for (const sync_row& row : report.rows) {
    const auto ns = [&row](sync_column column) { return figure(row.median_ns(column), 1); };
    cells.push_back(
        {std::string(row.kind->title), ns(sync_column::raw), ns(sync_column::confined),
         figure(row.vs_raw(sync_column::confined), 1), ns(sync_column::one_worker),
         figure(row.vs_raw(sync_column::one_worker), 1), ns(sync_column::two_workers),
         figure(std::fmax(row.allocations(sync_column::confined), row.allocations(sync_column::one_worker)), 3),
         figure(row.allocations(sync_column::two_workers), 3)});
    if (report.has_go) cells.back().insert(cells.back().end(), {ns(sync_column::go_one), ns(sync_column::go_two)});
  }
  return format_table(cells);
}

std::vector<std::string> sync_notes(const sync_report& report) {
  std::vector<std::string> notes;
  if (!built_for_speed)
    notes.emplace_back("Built without optimisation or with a sanitizer: not a measurement of speed.");
  notes.push_back(
      fmt::format("Medians over {} round(s). One thread: its CPU time; two: the time that passed. \":raw\" is the "
                  "ratio to the raw floor,\ntaken within each round. new: allocations for each operation, the most of "
                  "all rounds, once the program is warm.",
                  report.options.repeats));
  if (!report.has_go) notes.emplace_back("Go is not installed here: its columns are left out.");
  if (report.disturbed > 0) {
    notes.push_back(
        fmt::format("In {} of {} runs with one thread other programs held it up by more than a tenth. Then the figures "
                    "for two threads are too\nhigh, and the others somewhat: repeat on a quiet machine.",
                    report.disturbed, report.alone));
  }
  return notes;
}

std::vector<target> check_targets(const sync_report& report) {
  std::vector<target> targets;
  for (const sync_row& row : report.rows) {
    const auto check = [&](sync_column column, double most) {
      const double value = row.median_ns(column);
      if (!std::isfinite(most) || !std::isfinite(value)) return;
      const bool met = value <= most;
      targets.push_back({fmt::format("{}, {}: {:.1f} ns (at most {:.0f}: {})", title_of(column), row.kind->title, value,
                                     most, met ? "met" : "missed"),
                         met});
    };
    check(sync_column::confined, row.kind->most_confined);
    check(sync_column::two_workers, row.kind->most_two);
  }
  return targets;
}

std::string to_json(const sync_report& report) {
  std::string out =
      fmt::format(R"({{"bench": "sync", "repeats": {}, "runs_disturbed": {}, "runs_alone": {}, "rows": [)",
                  report.options.repeats, report.disturbed, report.alone);
  for (std::size_t i = 0; i < report.rows.size(); ++i) {
    const sync_row& row = report.rows[i];
    out += fmt::format(R"({}{{"row": {}, "operations": {}, "columns": [)", i == 0 ? "\n" : ",\n",
                       json_string(row.kind->key), row.operations);
    bool first = true;
    for (std::size_t c = 0; c < sync_columns; ++c) {
      const auto column = static_cast<sync_column>(c);
      if (row.rounds[c].empty()) continue;
      out += fmt::format(R"({}{{"column": {}, "ns": {}, "vs_raw": {}, "allocations": {}, "rounds_ns": [)",
                         first ? "" : ", ", json_string(title_of(column)), json_number(row.median_ns(column)),
                         json_number(row.vs_raw(column)), json_number(row.allocations(column)));
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
