#include "case_report.hpp"

#include "build_kind.hpp"
#include "json.hpp"
#include "table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <optional>
#include <utility>

namespace bench {
namespace {

/// A column of the table: its heading, what stands in a row, and whose figure that is.
struct table_column {
  std::string heading;
  std::function<std::string(const case_row&)> cell;
  std::optional<column> of;
};

bool any_raw(const case_report& report) {
  return std::any_of(report.rows.begin(), report.rows.end(),
                     [](const case_row& row) { return row.kind->columns.contains(column::raw); });
}

std::vector<table_column> table_columns(const case_report& report) {
  const bool has_raw = any_raw(report);
  std::vector<table_column> columns;
  const auto add = [&](column c) {
    const auto cell = [c](const case_row& row) {
      return row.kind->columns.contains(c) ? figure(row.median(c), row.kind->digits) : "-";
    };
    columns.push_back({std::string(title_of(c)), cell, c});
  };
  const auto add_ratio = [&](column c) {
    const auto cell = [c](const case_row& row) {
      const column_set& has = row.kind->columns;
      return has.contains(c) && has.contains(column::raw) ? figure(row.vs_raw(c), 1) : "-";
    };
    if (has_raw) columns.push_back({":raw", cell, {}});
  };
  const auto add_allocations = [&](const char* heading, column c, column other) {
    const auto cell = [c, other](const case_row& row) {
      const double most = std::fmax(row.allocations(c), row.allocations(other));
      return row.kind->how == taken::each ? figure(most, 3) : "-";
    };
    columns.push_back({heading, cell, {}});
  };
  if (has_raw) add(column::raw);
  add(column::confined);
  add_ratio(column::confined);
  add(column::one_worker);
  add_ratio(column::one_worker);
  add(column::two_workers);
  add_allocations("new: 1 worker", column::confined, column::one_worker);
  add_allocations("new: 2", column::two_workers, column::two_workers);
  for (const column c : every_column) {
    if ((is_go(c) && report.has_go.value_or(false)) || (is_tokio(c) && report.has_tokio.value_or(false))) add(c);
  }
  return columns;
}

void check_row(const case_row& row, std::vector<target>& targets) {
  const case_kind& kind = *row.kind;
  const auto add = [&](column c, double value, std::string_view unit, int digits, const std::string& goal, bool met) {
    targets.push_back({fmt::format("{}, {}: {:.{}f} {} ({}: {})", title_of(c), kind.title, value, digits, unit, goal,
                                   met ? "met" : "missed"),
                       met});
  };
  const auto check_most = [&](column c, double most) {
    const double value = row.median(c);
    if (!std::isfinite(most) || !std::isfinite(value)) return;
    if (kind.how == taken::elapsed && row.operations != kind.operations) return;  // that is not for each of them
    add(c, value, kind.unit, kind.digits, fmt::format("at most {:.{}f}", most, kind.how == taken::elapsed ? 2 : 0),
        value <= most);
  };
  check_most(column::confined, kind.most_confined);
  check_most(column::one_worker, kind.most_one);
  check_most(column::two_workers, kind.most_two);
  for (const column c : {column::confined, column::one_worker}) {
    const double seconds = row.median(c, &case_sample::seconds);
    if (!std::isfinite(kind.most_seconds) || !std::isfinite(seconds)) continue;
    add(c, seconds, "s passed", 3, fmt::format("at most {:.2f}", kind.most_seconds), seconds <= kind.most_seconds);
  }
  constexpr std::pair<column, column> rivals[] = {{column::one_worker, column::go_one},
                                                  {column::one_worker, column::tokio_one},
                                                  {column::two_workers, column::go_two},
                                                  {column::two_workers, column::tokio_two}};
  for (const auto& [mine, peer] : rivals) {
    const double here = row.median(mine);
    const double there = row.median(peer);
    if (kind.lead == 0 || !std::isfinite(here) || !std::isfinite(there)) continue;
    const std::string part = kind.lead == 1 ? "" : fmt::format("1/{:.0f} of ", kind.lead);
    add(mine, here, kind.unit, kind.digits,
        fmt::format("below {}{}, {:.{}f}", part, title_of(peer), there, kind.digits), kind.lead * here < there);
  }
}

}  // namespace

std::string case_table(const case_report& report) {
  const std::vector<table_column> columns = table_columns(report);
  std::vector<std::vector<std::string>> lines{{"ns for each operation"}};
  for (const table_column& c : columns) lines.front().push_back(c.heading);
  for (const case_row& row : report.rows) {
    std::vector<std::string> line{std::string(row.kind->title)};
    for (const table_column& c : columns) line.push_back(c.cell(row));
    lines.push_back(std::move(line));
    if (!std::isfinite(row.kind->most_seconds)) continue;
    line.assign({"  and the time that passed: s"});
    for (const table_column& c : columns)
      line.push_back(c.of && row.kind->columns.contains(*c.of) ? figure(row.median(*c.of, &case_sample::seconds), 3)
                                                               : "-");
    lines.push_back(std::move(line));
  }
  return format_table(lines);
}

std::vector<std::string> case_notes(const case_report& report) {
  std::vector<std::string> notes;
  if (!built_for_speed)
    notes.emplace_back("Built without optimisation or with a sanitizer: not a measurement of speed.");
  notes.push_back(fmt::format(
      "Medians over {} round(s). One thread: its CPU time; two: the time that passed.{}\nnew: allocations for each "
      "operation, the most of all rounds, once the program is warm; many tasks at once are more\nthan a worker keeps "
      "frames for.",
      report.options.repeats,
      any_raw(report) ? " \":raw\": for each unit of the floor's,\ntaken within each round." : ""));
  if (report.has_go == false) notes.emplace_back("Go is not installed here (golang-go): its columns are left out.");
  if (report.has_tokio == false) {
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

std::vector<target> check_targets(const case_report& report) {
  std::vector<target> targets;
  for (const case_row& row : report.rows) check_row(row, targets);
  return targets;
}

std::string to_json(const case_report& report, const std::string& more) {
  std::string out =
      fmt::format(R"({{"bench": {}, "repeats": {}, "runs_disturbed": {}, "runs_alone": {}, "rows": [)",
                  json_string(report.suite->name), report.options.repeats, report.disturbed, report.alone);
  for (const case_row& row : report.rows) {
    out += fmt::format(R"({}{{"row": {}, "title": {}, "operations": {}, "unit": {}, "columns": [)",
                       &row == &report.rows.front() ? "\n" : ",\n", json_string(row.kind->key),
                       json_string(row.kind->title), row.operations, json_string(row.kind->unit));
    bool first = true;
    for (const column c : every_column) {
      if (row.rounds[index_of(c)].empty()) continue;
      out += fmt::format(
          R"({}{{"column": {}, "value": {}, "vs_raw": {}, "allocations": {}, "seconds": {}, "rounds": [)",
          first ? "" : ", ", json_string(title_of(c)), json_number(row.median(c)), json_number(row.vs_raw(c)),
          json_number(row.allocations(c)), json_number(row.median(c, &case_sample::seconds)));
      first = true;
      for (const case_sample& sample : row.rounds[index_of(c)]) {
        out += (first ? "" : ", ") + json_number(sample.value);
        first = false;
      }
      out += "]}";
    }
    out += "]}";
  }
  return out + "],\n\"failures\": " + json_strings(report.failures) + more + "}\n";
}

}  // namespace bench
