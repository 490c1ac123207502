#pragma once

#include <cstdint>
#include <mutex>

#include "../runtime/detail/light_std.hpp"
#include "detail/token_bucket.hpp"
#include "limiter.hpp"

namespace weir {

/// Within what bounds an adaptive_limiter moves, in tokens per second, and how fast.
struct adaptive_options {
  double initial = 0;     ///< where it starts; 0: at `most`
  double least = 1;       ///< never slower; more than 0
  double most = 1000;     ///< never faster
  double decrease = 0.5;  ///< by which an overload multiplies the rate; more than 0, less than 1
  double increase = 0.1;  ///< the part of the rate that a success adds to it; more than 0
  /// Overloads so soon after one that counted are of the same cause, and count no more.
  std::chrono::nanoseconds hold_off{0};
};

/// A token bucket that finds its rate: each sign of overload halves it, each success raises it by a tenth, within
/// bounds. For services that answer "429 Too Many Requests" and do not say what they would bear.
///
///     weir::adaptive_limiter limiter({.least = 1, .most = 500}, 10);
///     co_await limiter.acquire();
///     if (co_await call() == 429) limiter.on_overload(); else limiter.on_success();
///
/// The rate is a real number, so that it recovers from low rates as well. A change hands out no new tokens, and those
/// who wait keep their places. See limiter for what else can be done with it.
class adaptive_limiter final : public detail::limiter_with<detail::token_bucket> {
 public:
  /// Starts with `burst` tokens. Throws std::invalid_argument when the options make no sense.
  adaptive_limiter(const adaptive_options& options, std::uint64_t burst);

  /// Any thread. O(1), and O(waiters served).
  void on_overload();
  void on_success();

  /// Tokens per second now.
  [[nodiscard]] double rate() noexcept;

 private:
  void change_rate(time_point now, double wanted);

  const adaptive_options options_;
  double rate_;  // guarded by the limiter's lock
  time_point last_overload_ = time_point::min();
};

}  // namespace weir
