#include "sync_bench.hpp"

#include "median.hpp"
#include "server_process.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <thread>

namespace bench {
namespace {

constexpr double none = std::numeric_limits<double>::infinity();

constexpr std::array kinds{
    sync_kind{sync_case::spsc, "spsc", "channel(128), 1 to 1", 400'000, 15, 80},
    sync_kind{sync_case::mpmc, "mpmc", "channel(128), 4 to 4", 400'000, 20, 80},
    sync_kind{sync_case::rendezvous, "rendezvous", "rendezvous, there and back", 100'000, 50, 400},
    sync_kind{sync_case::select, "select", "select over two channels", 200'000},
    sync_kind{sync_case::pool, "pool", "job through 8 workers", 200'000, 35, 120},
    sync_kind{sync_case::mutex, "mutex", "mutex, nobody else", 400'000, 18},
    sync_kind{sync_case::event, "event", "events, there and back", 100'000},
    sync_kind{sync_case::yield, "yield", "yield, two tasks", 400'000, 6},
    sync_kind{sync_case::armed_timeout, "armed_timeout", "timeout around a yield", 200'000, 25},
    sync_kind{sync_case::idle_timeout, "idle_timeout", "timeout around a set event", 400'000},
    sync_kind{sync_case::spawn, "spawn", "spawn and join", 200'000, 35},
    sync_kind{sync_case::contended, "contended", "mutex, held over a yield, 4 tasks", 200'000, none, none, false},
    sync_kind{sync_case::select_eight, "select8", "select over eight channels", 200'000, none, none, false},
    sync_kind{sync_case::oneshot, "oneshot", "question and oneshot answer", 100'000, none, none, false},
    sync_kind{sync_case::broadcast, "broadcast", "broadcast, each of 1,000", 1'000'000, none, none, false},
    sync_kind{sync_case::limiter, "limiter", "rate limiter, enough tokens", 400'000, none, none, false, false},
    sync_kind{sync_case::keyed, "keyed", "keyed limiter, a million keys", 400'000, none, none, false, false},
};

constexpr std::array every_column{sync_column::raw,         sync_column::confined, sync_column::one_worker,
                                  sync_column::two_workers, sync_column::go_one,   sync_column::go_two};

constexpr std::array<std::string_view, sync_columns> column_keys{"raw", "confined", "one", "two", "go-one", "go-two"};

bool with_two_threads(sync_column column) {
  return column == sync_column::two_workers || column == sync_column::go_two;
}
bool is_go(sync_column column) { return column == sync_column::go_one || column == sync_column::go_two; }

bool runs(const sync_kind& kind, sync_column column) {
  if (column == sync_column::raw) return kind.has_raw;
  return kind.has_go || !is_go(column);
}

std::string go_program() { return sibling("peer_sync"); }

/// The Go program prints the time for an operation in ns and whether its answers were right.
case_sample run_go(const sync_kind& kind, std::uint64_t operations, unsigned threads) {
  const std::string command = fmt::format("exec '{}' {} {} {}", go_program(), kind.key, operations, threads);
  std::FILE* output = popen(command.c_str(), "r");
  if (output == nullptr) throw std::runtime_error("cannot start the Go program");
  case_sample sample;
  char answer[16] = {};
  const bool read = std::fscanf(output, "%lf %lf %15s", &sample.ns, &sample.stretched, answer) == 3;
  if (pclose(output) != 0 || !read) throw std::runtime_error(fmt::format("the Go program failed: {}", command));
  sample.right = std::string_view(answer) == "right";
  return sample;
}

case_sample run_here(const sync_kind& kind, std::uint64_t operations, sync_column column) {
  switch (column) {
    case sync_column::raw:
      return run_raw(kind.which, operations);
    case sync_column::confined:
    case sync_column::one_worker:
    case sync_column::two_workers:
      return run_weir(kind.which, operations, column);
    case sync_column::go_one:
      return run_go(kind, operations, 1);
    case sync_column::go_two:
      break;
  }
  return run_go(kind, operations, 2);
}

/// On a thread of its own, which stays on one core unless two are wanted.
case_sample run_once(const sync_kind& kind, std::uint64_t operations, sync_column column) {
  case_sample sample;
  std::exception_ptr failure;
  std::thread thread([&] {
    try {
      const auto cores = choose_cores();
      if (cores && !with_two_threads(column)) pin_this_thread(cores->server);
      sample = run_here(kind, operations, column);
    } catch (...) {
      failure = std::current_exception();
    }
  });
  thread.join();
  if (failure) std::rethrow_exception(failure);
  return sample;
}

/// With two workers the tasks of a case may start where the warm-up has left no recycled frames: so many allocations,
/// however many operations follow.
double most_for_the_start(sync_case which) {
  constexpr double few_tasks = 64;
  constexpr double thousand_tasks = 2048;
  return which == sync_case::broadcast ? thousand_tasks : few_tasks;
}

/// Nothing here allocates once it is warm. But with two workers a spawned task may end on the other one, whose cache
/// then has its frame.
bool allocates_too_much(const sync_row& row, const case_sample& sample, sync_column column) {
  if (is_go(column) || !with_two_threads(column)) return sample.allocations > 0;
  return row.kind->which != sync_case::spawn &&
         sample.allocations * static_cast<double>(row.operations) > most_for_the_start(row.kind->which);
}

}  // namespace

std::string_view title_of(sync_column column) {
  switch (column) {
    case sync_column::raw:
      return "raw";
    case sync_column::confined:
      return "weir confined";
    case sync_column::one_worker:
      return "weir 1 worker";
    case sync_column::two_workers:
      return "weir 2 workers";
    case sync_column::go_one:
      return "Go 1";
    case sync_column::go_two:
      break;
  }
  return "Go 2";
}

sync_column find_sync_column(std::string_view key) {
  for (std::size_t i = 0; i < sync_columns; ++i) {
    if (column_keys[i] == key) return every_column[i];
  }
  throw std::invalid_argument(fmt::format("no column is called {}; there are {}", key, fmt::join(column_keys, ", ")));
}

std::span<const sync_kind> sync_kinds() { return kinds; }

const sync_kind& find_sync_kind(std::string_view key) {
  std::string keys;
  for (const sync_kind& kind : kinds) {
    if (kind.key == key) return kind;
    keys += fmt::format("{}{}", keys.empty() ? "" : ", ", kind.key);
  }
  throw std::invalid_argument(fmt::format("no row is called {}; there are {}", key, keys));
}

double sync_row::median_ns(sync_column column) const {
  std::vector<double> values;
  for (const case_sample& sample : rounds[static_cast<std::size_t>(column)]) values.push_back(sample.ns);
  return median_of(std::move(values));
}

double sync_row::allocations(sync_column column) const {
  double most = std::numeric_limits<double>::quiet_NaN();
  for (const case_sample& s : rounds[static_cast<std::size_t>(column)]) most = std::fmax(most, s.allocations);
  return most;
}

double sync_row::vs_raw(sync_column column) const {
  const auto& mine = rounds[static_cast<std::size_t>(column)];
  const auto& floor = rounds[static_cast<std::size_t>(sync_column::raw)];
  std::vector<double> ratios;
  for (std::size_t i = 0; i < std::min(mine.size(), floor.size()); ++i) ratios.push_back(mine[i].ns / floor[i].ns);
  return median_of(std::move(ratios));
}

sync_report run_sync(const sync_options& options, const std::function<void(const std::string&)>& progress) {
  sync_report report;
  report.options = options;
  report.has_go = access(go_program().c_str(), X_OK) == 0;
  std::vector<sync_column> columns = options.columns;
  if (columns.empty()) columns.assign(every_column.begin(), every_column.end());
  if (!report.has_go) std::erase_if(columns, is_go);
  const auto add_row = [&](const sync_kind& kind) {
    report.rows.push_back(
        {&kind, options.operations != 0 ? options.operations : kind.operations / options.divisor, {}});
  };
  if (options.kinds.empty()) {
    for (const sync_kind& kind : kinds) add_row(kind);
  } else {
    for (const sync_kind* kind : options.kinds) add_row(*kind);
  }
  choose_cores();  // asked first on a thread that is not pinned
  for (unsigned round = 0; round < options.repeats; ++round) {
    for (sync_row& row : report.rows) {
      for (std::size_t turn = 0; turn < columns.size(); ++turn) {
        // Each round begins with another column, so that none is always the first.
        const sync_column column = columns[(turn + round) % columns.size()];
        if (!runs(*row.kind, column)) continue;
        const std::string where = fmt::format("{}, {}, round {}", row.kind->title, title_of(column), round + 1);
        case_sample sample;
        try {
          sample = run_once(*row.kind, row.operations, column);
          if (!sample.right) report.failures.push_back(where + ": wrong answers");
          if (allocates_too_much(row, sample, column))
            report.failures.push_back(fmt::format("{}: {} allocations for an operation", where, sample.allocations));
        } catch (const std::exception& e) {
          report.failures.push_back(fmt::format("{}: {}", where, e.what()));
        }
        if (!with_two_threads(column)) {
          ++report.alone;
          if (sample.stretched > 1.1) ++report.disturbed;
        }
        row.rounds[static_cast<std::size_t>(column)].push_back(sample);
      }
      std::string line = fmt::format("[{}/{}] {}, ns:", round + 1, options.repeats, row.kind->title);
      for (const sync_column column : columns) {
        if (!runs(*row.kind, column)) continue;
        line += fmt::format("{} {} {:.1f}", line.ends_with(':') ? "" : ",", title_of(column),
                            row.rounds[static_cast<std::size_t>(column)].back().ns);
      }
      progress(line);
    }
  }
  return report;
}

}  // namespace bench
