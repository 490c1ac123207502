#pragma once
// What `bench sync`, `bench runtime` and `bench patterns` have in common: small programs, the rows, that are measured
// on several libraries, the columns. One program after the other, in turn, round after round: see echo_bench.hpp for
// why. With one thread the CPU time of that thread counts, which neighbours on the machine disturb little; with two the
// time that passes counts, because part of it is spent waiting for the other thread.

#include "case_sample.hpp"
#include "columns.hpp"

#include <array>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

inline constexpr double no_limit = std::numeric_limits<double>::infinity();

/// How a row's figure comes about.
enum class taken : std::uint8_t {
  each,     // ns for each operation
  alone,    // in a process of its own each time
  elapsed,  // the time that passes, because the program mostly sleeps
};

struct case_kind {
  unsigned which;  // the suite's own name for it
  std::string_view key;
  std::string_view title;
  std::uint64_t operations;        // of one run
  std::uint64_t smoke_operations;  // of one run that only shows that it works
  // The project's own goals, in the unit, for weir with one worker, confined and not, and with two.
  double most_confined = no_limit;
  double most_one = no_limit;
  double most_two = no_limit;
  column_set columns = all_columns;
  // How many times Go's and Tokio's figure may be at least, for each of weir's; 0: may be anything.
  double lead = 1;
  taken how = taken::each;
  std::string_view unit = "ns";
  int digits = 1;
  unsigned most_rounds = std::numeric_limits<unsigned>::max();
  bool fills_memory = false;       // what one run needs is more than what the runs before it have left in use
  double most_seconds = no_limit;  // that may pass on one worker, where the figure is something else
};

struct case_row {
  const case_kind* kind;
  std::uint64_t operations;
  std::array<std::vector<case_sample>, column_count> rounds{};

  [[nodiscard]] double median(column c, double case_sample::* figure = &case_sample::value) const;
  /// The greatest of all rounds.
  [[nodiscard]] double allocations(column c) const;
  /// The median over the rounds of its figure for each unit of the raw floor's in the same round.
  [[nodiscard]] double vs_raw(column c) const;
};

/// The rows of one bench, and what runs them.
struct case_suite {
  std::string_view name;  // as in `bench NAME`; its Go program is peer_NAME
  std::span<const case_kind> kinds;
  /// In a column that is the raw floor's or weir's, on the calling thread; weir with two workers on another one as
  /// well.
  case_sample (*run)(const case_kind& kind, std::uint64_t operations, column c, bool smoke);
  /// The most calls of operator new for all operations of a warm run.
  double (*most_allocations)(const case_kind& kind, column c);
  /// What the peers are told after row, operations and threads.
  std::string (*peer_arguments)(bool smoke) = [](bool) { return std::string(); };
  /// The number of operations that a row makes of what it was asked for.
  std::uint64_t (*operations_of)(const case_kind& kind,
                                 std::uint64_t wanted) = [](const case_kind&, std::uint64_t wanted) { return wanted; };

  /// By its key. Throws std::invalid_argument.
  [[nodiscard]] const case_kind& find(std::string_view key) const;
};

struct case_options {
  std::vector<const case_kind*> kinds;  // empty: all
  std::vector<column> columns;          // empty: all that can run
  unsigned repeats = 9;
  bool smoke = false;            // few operations
  std::uint64_t operations = 0;  // of each run; 0: as the kind says
};

struct case_report {
  const case_suite* suite;
  case_options options;
  std::vector<case_row> rows;
  std::vector<std::string> failures;  // wrong answers, unexpected allocations: a sentence each
  std::vector<column> columns;        // that could run
  std::optional<bool> has_go;         // empty: no row asks for it
  std::optional<bool> has_tokio;
  std::size_t disturbed = 0;  // runs with one thread that others held up by more than a tenth
  std::size_t alone = 0;      // runs with one thread
};

/// `progress` gets a line for each row of each round.
case_report run_cases(const case_suite& suite, const case_options& options,
                      const std::function<void(const std::string&)>& progress);

/// Calls `work` on a thread of its own, which stays on one core unless the column wants two, and throws what it throws.
void on_own_thread(column c, const std::function<void()>& work);

}  // namespace bench
