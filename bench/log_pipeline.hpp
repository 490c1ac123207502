#pragma once
// Logs on their way through five stages with 4, 4, 4 and 2 workers behind the source, and room for 100 between two of
// them. The last stage stores a record, which takes 100 microseconds: so two writers need 50 microseconds for each.

#include "case_sample.hpp"
#include "columns.hpp"

#include <chrono>
#include <cstdint>

namespace bench {

inline constexpr double ideal_seconds_for_a_log = 50e-6;

/// The value is the seconds that have passed. `spin` as in weir::runtime_options.
case_sample run_log_pipeline(std::uint64_t logs, column how, std::chrono::nanoseconds spin);

}  // namespace bench
