#include "runtime_bench.hpp"

#include "median.hpp"
#include "server_process.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <thread>

namespace bench {
namespace {

// A goal of confined mode is one for any single worker too, with a third more.
constexpr double slack = 1.3;

constexpr std::array kinds{
    runtime_kind{runtime_case::skynet, "skynet", "skynet: a leaf of 1M", 1'000'000, 10'000, 70, 70 * slack},
    runtime_kind{runtime_case::spawn_one, "spawn_one", "spawn, join, one by one", 1'000'000, 10'000, 35, 35 * slack},
    runtime_kind{runtime_case::spawn_batch, "spawn_batch", "spawn 1M, join all", 1'000'000, 10'000, 90, 90 * slack},
    runtime_kind{runtime_case::yield_two, "yield_two", "yield, two tasks", 1'000'000, 20'000, 6, 6 * slack},
    runtime_kind{runtime_case::yield_many, "yield_many", "yield, 1000 tasks", 1'000'000, 20'000, 6, 6 * slack},
    runtime_kind{runtime_case::ping_pong, "ping_pong", "ping-pong, two events", 200'000, 10'000},
    runtime_kind{runtime_case::timer, "timer", "timer: arm, yield, cancel", 1'000'000, 10'000, 25, 25 * slack},
    runtime_kind{runtime_case::lock, "lock", "lock, nobody else", 1'000'000, 20'000, 5, 20},
    runtime_kind{runtime_case::await_child, "await_child", "await a child task", 1'000'000, 20'000},
    runtime_kind{runtime_case::sleeps, "sleeps", "100k sleep 1 s: CPU ms", 100'000, 1'000, 150, 150},
    runtime_kind{runtime_case::parked, "parked", "1M sleep: bytes of each", 1'000'000, 20'000, 300, 300},
};

constexpr std::array every_column{runtime_column::raw,         runtime_column::confined, runtime_column::one_worker,
                                  runtime_column::two_workers, runtime_column::go_one,   runtime_column::go_two,
                                  runtime_column::tokio_one,   runtime_column::tokio_two};

constexpr std::array<std::string_view, runtime_columns> column_keys{"raw",    "confined", "one",       "two",
                                                                    "go-one", "go-two",   "tokio-one", "tokio-two"};

bool with_two_threads(runtime_column column) {
  return column == runtime_column::two_workers || column == runtime_column::go_two ||
         column == runtime_column::tokio_two;
}
bool is_go(runtime_column column) { return column == runtime_column::go_one || column == runtime_column::go_two; }
bool is_tokio(runtime_column column) {
  return column == runtime_column::tokio_one || column == runtime_column::tokio_two;
}

std::string go_program() { return sibling("peer_runtime"); }
std::string tokio_program() { return sibling("peer_tokio"); }

/// What a program says: two figures and whether its answers were right.
struct answer {
  double first = std::numeric_limits<double>::quiet_NaN();
  double second = std::numeric_limits<double>::quiet_NaN();
  bool right = false;
};
answer ask(const std::string& command) {
  std::FILE* output = popen(fmt::format("exec {}", command).c_str(), "r");
  if (output == nullptr) throw std::runtime_error(fmt::format("cannot start {}", command));
  answer given;
  char word[16] = {};
  const bool read = std::fscanf(output, "%lf %lf %15s", &given.first, &given.second, word) == 3;
  if (pclose(output) != 0 || !read) throw std::runtime_error(fmt::format("failed: {}", command));
  given.right = std::string_view(word) == "right";
  return given;
}

long sleep_ms(bool smoke) { return (smoke ? smoke_sleep_length : sleep_length) / std::chrono::milliseconds(1); }

answer ask_peer(const runtime_row& row, runtime_column column, bool smoke) {
  return ask(fmt::format("'{}' {} {} {} {}", is_go(column) ? go_program() : tokio_program(), row.kind->key,
                         row.operations, with_two_threads(column) ? 2 : 1, sleep_ms(smoke)));
}

struct outcome {
  case_sample sample;
  double seconds = std::numeric_limits<double>::quiet_NaN();
};

outcome run_alone(const runtime_row& row, runtime_column column, bool smoke) {
  const answer given =
      is_go(column) || is_tokio(column)
          ? ask_peer(row, column, smoke)
          : ask(fmt::format("'{}' --alone {} {} {} {}", sibling("runtime_bench"), row.kind->key,
                            column_keys[static_cast<std::size_t>(column)], row.operations, smoke ? "smoke" : "whole"));
  outcome found;
  found.sample.ns = given.first;
  found.sample.right = given.right;
  found.seconds = given.second;
  return found;
}

outcome run_here(const runtime_row& row, runtime_column column, bool smoke) {
  if (row.kind->alone()) return run_alone(row, column, smoke);
  outcome found;
  if (column == runtime_column::raw) {
    found.sample = run_raw(row.kind->which, row.operations);
  } else if (is_go(column) || is_tokio(column)) {
    const answer given = ask_peer(row, column, smoke);
    found.sample.ns = given.first;
    found.sample.stretched = given.second;
    found.sample.right = given.right;
  } else {
    found.sample = run_weir(row.kind->which, row.operations, column);
  }
  return found;
}

/// On a thread of its own, which stays on one core unless two are wanted.
outcome run_once(const runtime_row& row, runtime_column column, bool smoke) {
  outcome found;
  std::exception_ptr failure;
  std::thread thread([&] {
    try {
      const auto cores = choose_cores();
      if (cores && !with_two_threads(column)) pin_this_thread(cores->server);
      found = run_here(row, column, smoke);
    } catch (...) {
      failure = std::current_exception();
    }
  });
  thread.join();
  if (failure) std::rethrow_exception(failure);
  return found;
}

/// What can run in a row beside what does not stand in it by itself.
bool allocates_when_warm(runtime_case which) {
  // More frames at once than a worker keeps.
  return which == runtime_case::skynet || which == runtime_case::spawn_batch || which == runtime_case::yield_many;
}
bool allocates_too_much(const runtime_kind& kind, const case_sample& sample, runtime_column column) {
  return !kind.alone() && !with_two_threads(column) && !allocates_when_warm(kind.which) && sample.allocations > 0;
}

std::uint64_t operations_of(const runtime_kind& kind, std::uint64_t wanted) {
  if (kind.which != runtime_case::skynet) return wanted;
  std::uint64_t leaves = 1;
  while (leaves * 10 <= wanted) leaves *= 10;
  return leaves;
}

void run_round(runtime_report& report, runtime_row& row, const std::vector<runtime_column>& columns, unsigned round,
               unsigned rounds, const std::function<void(const std::string&)>& progress) {
  std::string line = fmt::format("[{}/{}] {}:", round + 1, rounds, row.kind->title);
  for (std::size_t turn = 0; turn < columns.size(); ++turn) {
    // Each round begins with another column, so that none is always the first.
    const runtime_column column = columns[(turn + round) % columns.size()];
    if (!row.kind->has(column)) continue;
    const std::string where = fmt::format("{}, {}, round {}", row.kind->title, title_of(column), round + 1);
    outcome found;
    try {
      found = run_once(row, column, report.options.smoke);
      if (!found.sample.right) report.failures.push_back(where + ": wrong answers");
      if (allocates_too_much(*row.kind, found.sample, column))
        report.failures.push_back(fmt::format("{}: {} allocations for an operation", where, found.sample.allocations));
    } catch (const std::exception& e) {
      report.failures.push_back(fmt::format("{}: {}", where, e.what()));
    }
    if (!with_two_threads(column) && !row.kind->alone()) {
      ++report.alone;
      if (found.sample.stretched > 1.1) ++report.disturbed;
    }
    row.rounds[static_cast<std::size_t>(column)].push_back(found.sample);
    row.seconds[static_cast<std::size_t>(column)].push_back(found.seconds);
  }
  for (const runtime_column column : columns) {
    const auto& samples = row.rounds[static_cast<std::size_t>(column)];
    if (!samples.empty())
      line += fmt::format("{} {} {:.1f}", line.ends_with(':') ? "" : ",", title_of(column), samples.back().ns);
  }
  progress(line);
}

}  // namespace

std::string_view title_of(runtime_column column) {
  switch (column) {
    case runtime_column::raw:
      return "raw";
    case runtime_column::confined:
      return "weir confined";
    case runtime_column::one_worker:
      return "weir 1 worker";
    case runtime_column::two_workers:
      return "weir 2 workers";
    case runtime_column::go_one:
      return "Go 1";
    case runtime_column::go_two:
      return "Go 2";
    case runtime_column::tokio_one:
      return "Tokio 1";
    case runtime_column::tokio_two:
      break;
  }
  return "Tokio 2";
}

runtime_column find_runtime_column(std::string_view key) {
  for (std::size_t i = 0; i < runtime_columns; ++i) {
    if (column_keys[i] == key) return every_column[i];
  }
  throw std::invalid_argument(fmt::format("no column is called {}; there are {}", key, fmt::join(column_keys, ", ")));
}

bool runtime_kind::has(runtime_column column) const noexcept {
  switch (which) {
    case runtime_case::await_child:
      return !is_go(column);  // where that is a plain call
    case runtime_case::sleeps:
      return column != runtime_column::raw;  // whose timers never fire
    case runtime_case::parked:
      return !with_two_threads(column) && column != runtime_column::confined;  // the same as with one
    default:
      return true;
  }
}

std::span<const runtime_kind> runtime_kinds() { return kinds; }

const runtime_kind& find_runtime_kind(std::string_view key) {
  std::string keys;
  for (const runtime_kind& kind : kinds) {
    if (kind.key == key) return kind;
    keys += fmt::format("{}{}", keys.empty() ? "" : ", ", kind.key);
  }
  throw std::invalid_argument(fmt::format("no row is called {}; there are {}", key, keys));
}

double runtime_row::median(runtime_column column) const {
  std::vector<double> values;
  for (const case_sample& sample : rounds[static_cast<std::size_t>(column)]) values.push_back(sample.ns);
  return median_of(std::move(values));
}

double runtime_row::median_seconds(runtime_column column) const {
  return median_of(seconds[static_cast<std::size_t>(column)]);
}

double runtime_row::allocations(runtime_column column) const {
  double most = std::numeric_limits<double>::quiet_NaN();
  for (const case_sample& s : rounds[static_cast<std::size_t>(column)]) most = std::fmax(most, s.allocations);
  return most;
}

double runtime_row::vs_raw(runtime_column column) const {
  const auto& mine = rounds[static_cast<std::size_t>(column)];
  const auto& floor = rounds[static_cast<std::size_t>(runtime_column::raw)];
  std::vector<double> ratios;
  for (std::size_t i = 0; i < std::min(mine.size(), floor.size()); ++i) ratios.push_back(mine[i].ns / floor[i].ns);
  return median_of(std::move(ratios));
}

runtime_report run_runtime(const runtime_bench_options& options,
                           const std::function<void(const std::string&)>& progress) {
  runtime_report report;
  report.options = options;
  report.has_go = access(go_program().c_str(), X_OK) == 0;
  report.has_tokio = access(tokio_program().c_str(), X_OK) == 0;
  std::vector<runtime_column> columns = options.columns;
  if (columns.empty()) columns.assign(every_column.begin(), every_column.end());
  if (!report.has_go) std::erase_if(columns, is_go);
  if (!report.has_tokio) std::erase_if(columns, is_tokio);
  const auto add_row = [&](const runtime_kind& kind) {
    const std::uint64_t usual = options.smoke ? kind.smoke_operations : kind.operations;
    report.rows.push_back({&kind, operations_of(kind, options.operations != 0 ? options.operations : usual), {}, {}});
  };
  if (options.kinds.empty()) {
    for (const runtime_kind& kind : kinds) add_row(kind);
  } else {
    for (const runtime_kind* kind : options.kinds) add_row(*kind);
  }
  choose_cores();  // asked first on a thread that is not pinned
  for (unsigned round = 0; round < options.repeats; ++round) {
    for (runtime_row& row : report.rows) {
      const unsigned rounds = row.kind->alone() ? std::min(options.alone_repeats, options.repeats) : options.repeats;
      if (round < rounds) run_round(report, row, columns, round, rounds, progress);
    }
  }
  return report;
}

void print_alone(const runtime_kind& kind, runtime_column column, std::uint64_t operations, bool smoke) {
  alone_sample found;
  if (kind.which == runtime_case::sleeps) {
    found = run_weir_sleeps(operations, smoke ? smoke_sleep_length : sleep_length, column);
  } else if (column == runtime_column::raw) {
    found = run_raw_parked(operations);
  } else {
    found = run_weir_parked(operations, column);
  }
  fmt::print("{:.3f} {:.4f} {}\n", found.value, found.seconds, found.right ? "right" : "wrong");
}

}  // namespace bench
