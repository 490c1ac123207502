#pragma once
// What tasks, turns, timers and uncontended locks cost on weir, on the raw floor (raw_coroutines.hpp), and where they
// are installed in Go and on Tokio: see sync_bench.hpp for how the time is taken. Two rows have a process to
// themselves each time: tasks that sleep (the CPU time that a second of sleep costs, and how long that second was), and
// the memory that a sleeping task takes.

#include "case_sample.hpp"
#include "runtime_cases.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

/// One run of a row that has a process to itself.
struct alone_sample {
  double value = std::numeric_limits<double>::quiet_NaN();    // ms of CPU, or bytes
  double seconds = std::numeric_limits<double>::quiet_NaN();  // that passed
  bool right = false;
};

enum class runtime_column : std::uint8_t {
  raw,
  confined,
  one_worker,
  two_workers,
  go_one,
  go_two,
  tokio_one,
  tokio_two,
};
inline constexpr std::size_t runtime_columns = 8;
std::string_view title_of(runtime_column column);
/// By "raw", "confined", "one", "two", "go-one", "go-two", "tokio-one", "tokio-two". Throws std::invalid_argument.
runtime_column find_runtime_column(std::string_view key);

struct runtime_kind {
  runtime_case which;
  std::string_view key;
  std::string_view title;
  std::uint64_t operations;        // of one run
  std::uint64_t smoke_operations;  // of one run that only shows that it works
  // The project's own limits for one worker, confined and not; infinite where there is none. Of `sleeps` in ms of CPU,
  // of `parked` in bytes, otherwise in ns.
  double most_confined = std::numeric_limits<double>::infinity();
  double most_one = std::numeric_limits<double>::infinity();

  /// In a process of its own.
  [[nodiscard]] bool alone() const noexcept { return which == runtime_case::sleeps || which == runtime_case::parked; }
  [[nodiscard]] bool has(runtime_column column) const noexcept;
};
std::span<const runtime_kind> runtime_kinds();
/// Throws std::invalid_argument.
const runtime_kind& find_runtime_kind(std::string_view key);

/// How long the row `sleeps` sleeps.
inline constexpr std::chrono::nanoseconds sleep_length = std::chrono::seconds(1);
inline constexpr std::chrono::nanoseconds smoke_sleep_length = std::chrono::milliseconds(50);
/// The project's limit: how many times as long it may take.
inline constexpr double most_stretched_sleep = 1.02;

struct runtime_bench_options {
  std::vector<const runtime_kind*> kinds;  // empty: all
  std::vector<runtime_column> columns;     // empty: all that can run
  unsigned repeats = 9;
  unsigned alone_repeats = 3;    // of the rows with a process to themselves
  bool smoke = false;            // few operations
  std::uint64_t operations = 0;  // of each run; 0: as the kind says
};

struct runtime_row {
  const runtime_kind* kind;
  std::uint64_t operations;
  std::array<std::vector<case_sample>, runtime_columns> rounds;  // ns; of a row that runs alone the value
  std::array<std::vector<double>, runtime_columns> seconds;      // of `sleeps`

  [[nodiscard]] double median(runtime_column column) const;
  [[nodiscard]] double median_seconds(runtime_column column) const;
  /// The greatest of all rounds.
  [[nodiscard]] double allocations(runtime_column column) const;
  /// The median over the rounds of its figure for each unit of the raw floor's in the same round.
  [[nodiscard]] double vs_raw(runtime_column column) const;
};

struct runtime_report {
  runtime_bench_options options;
  std::vector<runtime_row> rows;
  std::vector<std::string> failures;  // a sentence each
  bool has_go = false;
  bool has_tokio = false;
  std::size_t disturbed = 0;  // runs with one thread that others held up by more than a tenth
  std::size_t alone = 0;      // runs with one thread
};

/// `progress` gets a line for each row of each round.
runtime_report run_runtime(const runtime_bench_options& options,
                           const std::function<void(const std::string&)>& progress);

// Each of them on the calling thread, and weir with two workers on another one as well.
case_sample run_raw(runtime_case which, std::uint64_t operations);
case_sample run_weir(runtime_case which, std::uint64_t operations, runtime_column how);
alone_sample run_weir_sleeps(std::uint64_t tasks, std::chrono::nanoseconds length, runtime_column how);
// What their tasks take is there until the process ends.
alone_sample run_raw_parked(std::uint64_t tasks);
alone_sample run_weir_parked(std::uint64_t tasks, runtime_column how);

/// The other end of a row that runs alone, in a process made for it: prints what it finds as the peers do.
void print_alone(const runtime_kind& kind, runtime_column column, std::uint64_t operations, bool smoke);

}  // namespace bench
