#pragma once

#include <cstdint>

#include "detail/limit_windows.hpp"
#include "limiter.hpp"

namespace weir {

/// `limit` in each window, which follow one another from when it is made. The cheapest rule, and one that quotas of
/// foreign services often have, but not a smooth one: at the border of two windows twice the limit may come within a
/// moment. See limiter for what can be done with it.
class fixed_window_limiter final : public detail::settable_limiter<detail::fixed_window> {
 public:
  /// Throws std::invalid_argument when a number is not positive.
  template <class Rep, class Period>
  fixed_window_limiter(std::uint64_t limit, std::chrono::duration<Rep, Period> length)
      : settable_limiter(
            detail::fixed_window("fixed_window_limiter", clock::now(), limit, detail::to_duration(length))) {}
};

/// At most `limit` in any window, wherever it begins: keeps the time of each, 8 bytes times the limit. See limiter for
/// what can be done with it.
class sliding_window_limiter final : public detail::settable_limiter<detail::sliding_log> {
 public:
  /// Throws std::invalid_argument when a number is not positive. Allocates the memory for all times.
  template <class Rep, class Period>
  sliding_window_limiter(std::uint64_t limit, std::chrono::duration<Rep, Period> length)
      : settable_limiter(
            detail::sliding_log("sliding_window_limiter", clock::now(), limit, detail::to_duration(length))) {}
};

/// About `limit` in any window, in constant memory: counts by fixed windows, and takes it that those of the window
/// before had come evenly. When they had not, a window that lies across the border may have up to twice the limit less
/// one in the extreme, but no more than `limit` in each fixed window. See limiter for what can be done with it.
class approximate_window_limiter final : public detail::settable_limiter<detail::sliding_counter> {
 public:
  /// Throws std::invalid_argument when a number is not positive.
  template <class Rep, class Period>
  approximate_window_limiter(std::uint64_t limit, std::chrono::duration<Rep, Period> length)
      : settable_limiter(
            detail::sliding_counter("approximate_window_limiter", clock::now(), limit, detail::to_duration(length))) {}
};

}  // namespace weir
