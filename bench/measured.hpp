#pragma once
// Everything that a run of all benches has measured, as one list, whatever bench it is from; and what changed between
// two runs.

#include "json_value.hpp"

#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

struct measured {
  std::string group;  // the heading under which it stands
  std::string row;
  std::string who;
  std::string what;  // with its unit
  std::vector<double> rounds;
  double x = std::numeric_limits<double>::quiet_NaN();  // what the row is a value of: connections, or bytes
  bool more_is_better = false;
  std::string floor = {};  // by whom it is divided, round by round, to be compared; empty: by nothing

  [[nodiscard]] double median() const;
  [[nodiscard]] bool is_weir() const { return who.starts_with("weir"); }
};

/// From what `bench all` has written. Throws std::runtime_error when that is something else.
std::vector<measured> read_measured(const json_value& run);

/// A sentence for each figure of weir that has changed from one run to the other beyond the noise; at the end the rule
/// by which that is said, and what only one of them has.
std::string compare_runs(const std::vector<measured>& before, const std::vector<measured>& after);

}  // namespace bench
