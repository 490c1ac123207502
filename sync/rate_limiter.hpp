#pragma once

#include <cstdint>

#include "detail/token_bucket.hpp"
#include "limiter.hpp"

namespace weir {

/// A token bucket: `tokens` per `period` on average, and up to `burst` at once after a pause.
///
///     weir::rate_limiter per_second(100, 1s, 10);   // 100 per second, 10 at once
///     weir::rate_limiter per_hour(1000, 1h, 1);     // one every 3.6 s
///
/// In any time t it grants at most burst + tokens * t / period. One who asks again and again keeps up with the rate if
/// the burst is worth more than the time by which he is woken late: a full bucket gains nothing. See limiter for what
/// can be done with it.
class rate_limiter final : public detail::settable_limiter<detail::token_bucket> {
 public:
  /// Starts full, or with `initial` tokens if that is less. Any rate from one in years to more than one in a
  /// nanosecond; throws std::invalid_argument when a number is not positive, or the burst times the nanoseconds of the
  /// period (in lowest terms with `tokens`) reaches 2^61.
  template <class Rep, class Period>
  rate_limiter(std::uint64_t tokens, std::chrono::duration<Rep, Period> period, std::uint64_t burst)
      : rate_limiter(tokens, detail::to_duration(period), burst, burst) {}
  rate_limiter(std::uint64_t tokens, duration period, std::uint64_t burst, std::uint64_t initial)
      : settable_limiter(detail::token_bucket("rate_limiter", clock::now(), tokens, period, burst, initial,
                                              detail::token_bucket::payment::before)) {}
};

}  // namespace weir
