#pragma once

#include <cstdint>
#include <type_traits>

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
  const auto begins = start.time_since_epoch().count();
  if (length.count() <= 0) return start;
  if (length.count() > duration::max().count() - begins) return no_deadline;
  return time_point(duration(begins + length.count()));
}

/// Any std::chrono duration as nanoseconds, clamped instead of overflowing and rounded up: never early.
template <class Rep, class Period>
constexpr duration to_duration(std::chrono::duration<Rep, Period> length) noexcept {
  constexpr duration::rep most = duration::max().count();
  constexpr duration::rep second = 1'000'000'000;
  if constexpr (std::is_integral_v<Rep> && second % Period::den == 0 && Period::num <= most / second) {
    // A whole number of them, which needs none of the arithmetic of std::chrono.
    constexpr duration::rep each = Period::num * (second / Period::den);
    if (length.count() <= 0) return duration::zero();
    if (static_cast<std::uintmax_t>(length.count()) > static_cast<std::uintmax_t>(most / each)) return duration::max();
    return duration(static_cast<duration::rep>(length.count()) * each);
  } else {
    const long double seconds = static_cast<long double>(length.count()) * Period::num / Period::den;
    if (seconds >= static_cast<long double>(most) / second) return duration::max();
    if (seconds <= 0) return duration::zero();
    return std::chrono::ceil<duration>(length);
  }
}

}  // namespace detail
}  // namespace weir
