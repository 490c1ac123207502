#pragma once

#include "detail/light_std.hpp"

namespace weir {

using duration = std::chrono::nanoseconds;

/// The runtime's monotonic clock (CLOCK_MONOTONIC; virtual inside a simulation). It names the time points of deadlines;
/// read it with weir::now().
struct clock {
  using rep = std::chrono::nanoseconds::rep;
  using period = std::chrono::nanoseconds::period;
  using duration = std::chrono::nanoseconds;
  using time_point = std::chrono::time_point<clock>;
  static constexpr bool is_steady = true;

  /// The time of the runtime that the calling thread works for; CLOCK_MONOTONIC on other threads.
  static time_point now() noexcept;
};

using time_point = clock::time_point;

/// What time it is for the calling task. Never blocks; one clock_gettime. In a simulation the time is virtual and
/// stands still while a task runs.
inline time_point now() noexcept { return clock::now(); }

namespace detail {

/// "Never": the deadline of what has none.
inline constexpr time_point no_deadline = time_point::max();

/// `start + length` without overflow, for any length that a user can write.
constexpr time_point add_saturated(time_point start, duration length) noexcept {
  if (length <= duration::zero()) return start;
  if (length > no_deadline - start) return no_deadline;
  return start + length;
}

/// Any std::chrono duration as nanoseconds, clamped instead of overflowing and rounded up: never early.
template <class Rep, class Period>
constexpr duration to_duration(std::chrono::duration<Rep, Period> length) noexcept {
  using wide = std::chrono::duration<long double>;
  if (wide(length) >= wide(duration::max())) return duration::max();
  if (wide(length) <= wide(duration::zero())) return duration::zero();
  return std::chrono::ceil<duration>(length);
}

}  // namespace detail
}  // namespace weir
