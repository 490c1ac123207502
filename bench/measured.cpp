#include "measured.hpp"

#include "median.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <stdexcept>
#include <utility>

namespace bench {
namespace {

std::vector<double> numbers_of(const json_value& rounds, std::string_view name) {
  std::vector<double> numbers;
  for (const json_value& round : rounds.items()) numbers.push_back(round[name].number());
  return numbers;
}

bool any_finite(const std::vector<double>& values) {
  return std::any_of(values.begin(), values.end(), [](double v) { return std::isfinite(v); });
}

/// Takes over what could be measured.
void add(std::vector<measured>& all, measured one) {
  if (any_finite(one.rounds)) all.push_back(std::move(one));
}

struct named_figure {
  std::string_view name;
  std::string_view title;
  bool more_is_better;
};

void read_echo(const std::string& group, bool by_size, const json_value& result, std::vector<measured>& all) {
  constexpr std::array figures{named_figure{"cpu_us_per_request", "CPU per request, us", false},
                               named_figure{"requests_per_second", "requests in a second", true},
                               named_figure{"p50_us", "p50, us", false},
                               named_figure{"p99_us", "p99, us", false},
                               named_figure{"p999_us", "p99.9, us", false},
                               named_figure{"syscalls_per_request", "system calls per request", false}};
  const double size = result["size"].number();
  for (const json_value& row : result["rows"].items()) {
    const double connections = row["connections"].number();
    for (const auto& [name, title, more] : figures) {
      add(all, {.group = group,
                .row = by_size ? fmt::format("{:.0f} B", size)
                               : fmt::format("{:.0f} connection{}", connections, connections == 1 ? "" : "s"),
                .who = row["title"].text(),
                .what = std::string(title),
                .rounds = numbers_of(row["rounds"], name),
                .x = by_size ? size : connections,
                .more_is_better = more,
                .floor = "raw epoll"});
    }
  }
}

void read_idle(const std::string& group, const json_value& result, std::vector<measured>& all) {
  for (const json_value& row : result["rows"].items()) {
    add(all, {.group = group,
              .row = fmt::format("{:.0f} idle connections", row["connections"].number()),
              .who = row["title"].text(),
              .what = "resident bytes of each",
              .rounds = {row["resident_bytes_each"].number()}});
  }
}

void read_cancellation(const std::string& group, const json_value& result, std::vector<measured>& all) {
  constexpr std::array endings{named_figure{"stopped_ns", "weir: stopped", false},
                               named_figure{"exception_ns", "exception", false},
                               named_figure{"returned_ns", "return", false}};
  for (const json_value& row : result["rows"].items()) {
    for (const auto& [name, title, more] : endings) {
      add(all, {.group = group,
                .row = fmt::format("{:.0f} frames", row["frames"].number()),
                .who = std::string(title),
                .what = "CPU for a task, ns",
                .rounds = {row[name].number()},
                .x = row["frames"].number(),
                .floor = "exception"});
    }
  }
}

void read_io(const std::string& group, const json_value& result, std::vector<measured>& all) {
  constexpr std::array figures{named_figure{"cpu_us", "CPU for each, us", false},
                               named_figure{"per_second", "in a second", true}};
  for (const json_value& row : result["rows"].items()) {
    const double size = row["size"].number();
    std::string floor;
    for (const json_value& column : row["columns"].items()) {
      if (column["column"].text() == row["baseline"].text()) floor = column["title"].text();
    }
    for (const json_value& column : row["columns"].items()) {
      for (const auto& [name, title, more] : figures) {
        add(all, {.group = fmt::format("{}: {}", group, row["title"].text()),
                  .row = size > 0 ? fmt::format("{:.0f} B", size) : std::string("each"),
                  .who = column["title"].text(),
                  .what = std::string(title),
                  .rounds = numbers_of(column["rounds"], name),
                  .x = size > 0 ? size : std::numeric_limits<double>::quiet_NaN(),
                  .more_is_better = more,
                  .floor = floor});
      }
    }
  }
}

/// Of the benches whose rows are small programs.
void read_cases(const std::string& group, const json_value& result, std::vector<measured>& all) {
  for (const json_value& row : result["rows"].items()) {
    bool has_raw = false;
    for (const json_value& column : row["columns"].items()) has_raw |= column["column"].text() == "raw";
    const std::string& unit = row["unit"].text();
    for (const json_value& column : row["columns"].items()) {
      measured one{.group = group,
                   .row = row["title"].text(),
                   .who = column["column"].text(),
                   .what = unit == "ns" ? "ns for each operation" : "as the row says",
                   .rounds = {},
                   .floor = has_raw ? "raw" : ""};
      for (const json_value& round : column["rounds"].items()) one.rounds.push_back(round.number());
      add(all, std::move(one));
    }
  }
}

bool same_subject(const measured& a, const measured& b) {
  return a.group == b.group && a.row == b.row && a.what == b.what;
}

const measured* find(const std::vector<measured>& all, const measured& like, const std::string& who) {
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const measured& m) { return same_subject(m, like) && m.who == who; });
  return found == all.end() ? nullptr : &*found;
}

/// What is compared: each round, divided by its floor's.
std::vector<double> comparable(const std::vector<measured>& all, const measured& one, bool& has_floor) {
  const measured* const floor = one.floor.empty() ? nullptr : find(all, one, one.floor);
  has_floor = floor != nullptr && floor != &one && floor->rounds.size() == one.rounds.size();
  std::vector<double> values;
  for (std::size_t i = 0; i < one.rounds.size(); ++i) {
    const double value = has_floor ? one.rounds[i] / floor->rounds[i] : one.rounds[i];
    if (std::isfinite(value)) values.push_back(value);
  }
  return values;
}

/// The probability that chance alone parts two samples as far as these are: Mann and Whitney's test, two-sided, exact.
double chance_of(const std::vector<double>& a, const std::vector<double>& b) {
  const std::size_t n = a.size();
  const std::size_t m = b.size();
  double above = 0;
  for (const double x : a) {
    for (const double y : b) above += x > y ? 1 : x == y ? 0.5 : 0;
  }
  const auto u = static_cast<std::size_t>(std::floor(std::min(above, static_cast<double>(n * m) - above)));
  // ways[i][j][k]: orders of i of the one and j of the other with k pairs in which the one is above.
  std::vector<std::vector<std::vector<double>>> ways(
      n + 1, std::vector<std::vector<double>>(m + 1, std::vector<double>(n * m + 1)));
  for (std::size_t i = 0; i <= n; ++i) {
    for (std::size_t j = 0; j <= m; ++j) {
      for (std::size_t k = 0; k <= i * j; ++k) {
        if (i == 0 || j == 0) {
          ways[i][j][k] = 1;
        } else {
          ways[i][j][k] = ways[i][j - 1][k] + (k >= j ? ways[i - 1][j][k - j] : 0);
        }
      }
    }
  }
  const std::vector<double>& last = ways[n][m];
  const double all = std::accumulate(last.begin(), last.end(), 0.0);
  return std::min(1.0, 2 * std::accumulate(last.begin(), last.begin() + static_cast<std::ptrdiff_t>(u) + 1, 0.0) / all);
}

constexpr double least_chance = 0.02;
constexpr double least_with_floor = 0.03;
constexpr double least_without = 0.10;  // the machine's speed drifts by more
constexpr double least_of_few = 0.20;
constexpr std::size_t few = 4;  // rounds, of which no test can say much

bool has_changed(const std::vector<double>& before, const std::vector<double>& after, bool has_floor) {
  const double change = std::abs(median_of(after) / median_of(before) - 1);
  if (before.size() < few || after.size() < few) {
    const auto [low, high] = std::minmax_element(before.begin(), before.end());
    const auto [least, most] = std::minmax_element(after.begin(), after.end());
    return change > least_of_few && (*most < *low || *least > *high);
  }
  return change > (has_floor ? least_with_floor : least_without) && chance_of(before, after) <= least_chance;
}

}  // namespace

double measured::median() const { return median_of(rounds); }

std::vector<measured> read_measured(const json_value& run) {
  if (run["parts"].items().empty()) throw std::runtime_error("this is not what `bench all` has written");
  std::vector<measured> all;
  for (const json_value& part : run["parts"].items()) {
    const std::string& group = part["group"].text();
    const json_value& result = part["result"];
    const std::string& kind = result["bench"].text();
    if (kind == "echo") {
      read_echo(group, part["against"].text() == "size", result, all);
    } else if (kind == "idle") {
      read_idle(group, result, all);
    } else if (kind == "cancellation") {
      read_cancellation(group, result, all);
    } else if (kind == "io") {
      read_io(group, result, all);
    } else {
      read_cases(group, result, all);
    }
  }
  return all;
}

std::string compare_runs(const std::vector<measured>& before, const std::vector<measured>& after) {
  std::string out;
  std::size_t compared = 0;
  std::size_t changed = 0;
  std::size_t missing = 0;
  std::size_t added = 0;
  for (const measured& now : after) added += now.is_weir() && find(before, now, now.who) == nullptr ? 1 : 0;
  for (const measured& then : before) {
    if (!then.is_weir()) continue;
    const measured* const now = find(after, then, then.who);
    if (now == nullptr) {
      ++missing;
      continue;
    }
    bool had_floor = false;
    bool has_floor = false;
    std::vector<double> old_values = comparable(before, then, had_floor);
    std::vector<double> new_values = comparable(after, *now, has_floor);
    if (had_floor != has_floor) {  // the floor is in one of them only
      old_values = then.rounds;
      new_values = now->rounds;
      has_floor = false;
    }
    if (!any_finite(old_values) || !any_finite(new_values)) continue;
    ++compared;
    if (!has_changed(old_values, new_values, has_floor)) continue;
    ++changed;
    const double old_median = median_of(old_values);
    const double new_median = median_of(new_values);
    const bool better = (new_median > old_median) == then.more_is_better;
    out += fmt::format("{}: {}, {}: {}: {}: {:.4g} -> {:.4g}{} ({:+.1f} %)\n", better ? "better" : "WORSE", then.group,
                       then.row, then.who, then.what, old_median, new_median,
                       has_floor ? " of " + then.floor + "'s" : "", 100 * (new_median / old_median - 1));
  }
  return out +
         fmt::format(
             "\n{} of {} figures of weir have changed; {} are only in the first run, {} only in the second.\n"
             "The rule: a figure is divided, round by round, by that of the floor in the same round, where there is "
             "one. It has\nchanged when chance alone would part the rounds of both runs so far in at most {:.0f} of "
             "100 cases (Mann and Whitney's\ntest, exact, two-sided) and the medians differ by more than {:.0f} %, "
             "or {:.0f} % without a floor, because machines drift;\nwith fewer than {} rounds when all of the one "
             "are beyond all of the other and the medians differ by more than {:.0f} %.\nBy chance alone that is "
             "said of at most {:.0f} of these figures.\n",
             changed, compared, missing, added, 100 * least_chance, 100 * least_with_floor, 100 * least_without, few,
             100 * least_of_few, std::ceil(least_chance * static_cast<double>(compared)));
}

}  // namespace bench
