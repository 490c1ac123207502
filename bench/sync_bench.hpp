#pragma once
// What channels, locks, timers and tasks cost, on weir and on the raw floor (raw_coroutines.hpp), and where Go is
// installed in Go. One program after the other, in turn, round after round: see echo_bench.hpp for why. With one
// thread the CPU time of that thread counts, which neighbours on the machine disturb little; with two the time that
// passes counts, because part of it is spent waiting for the other thread.

#include "case_sample.hpp"
#include "sync_cases.hpp"

#include <array>
#include <cstddef>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

enum class sync_column : std::uint8_t { raw, confined, one_worker, two_workers, go_one, go_two };
inline constexpr std::size_t sync_columns = 6;
std::string_view title_of(sync_column column);
/// By "raw", "confined", "one", "two", "go-one", "go-two". Throws std::invalid_argument.
sync_column find_sync_column(std::string_view key);

struct sync_kind {
  sync_case which;
  std::string_view key;
  std::string_view title;
  std::uint64_t operations;  // of one run
  // The project's own limits in ns, for one confined worker and for two; infinite where there is none.
  double most_confined = std::numeric_limits<double>::infinity();
  double most_two = std::numeric_limits<double>::infinity();
  bool has_raw = true;
  bool has_go = true;
};
std::span<const sync_kind> sync_kinds();
/// Throws std::invalid_argument.
const sync_kind& find_sync_kind(std::string_view key);

struct sync_options {
  std::vector<const sync_kind*> kinds;  // empty: all
  std::vector<sync_column> columns;     // empty: all that can run
  unsigned repeats = 9;
  unsigned divisor = 1;          // of the operations of each run
  std::uint64_t operations = 0;  // of each run; 0: as the kind says
};

struct sync_row {
  const sync_kind* kind;
  std::uint64_t operations;
  std::array<std::vector<case_sample>, sync_columns> rounds;

  [[nodiscard]] double median_ns(sync_column column) const;
  /// The greatest of all rounds.
  [[nodiscard]] double allocations(sync_column column) const;
  /// The median over the rounds of its time for each unit of the raw floor's in the same round.
  [[nodiscard]] double vs_raw(sync_column column) const;
};

struct sync_report {
  sync_options options;
  std::vector<sync_row> rows;
  std::vector<std::string> failures;  // wrong answers, unexpected allocations: a sentence each
  bool has_go = false;
  std::size_t disturbed = 0;  // runs with one thread that others held up by more than a tenth
  std::size_t alone = 0;      // runs with one thread
};

/// `progress` gets a line for each row of each round.
sync_report run_sync(const sync_options& options, const std::function<void(const std::string&)>& progress);

// Each of them on the calling thread, and weir with two workers on another one as well.
case_sample run_raw(sync_case which, std::uint64_t operations);
case_sample run_weir(sync_case which, std::uint64_t operations, sync_column how);

}  // namespace bench
