#include "adaptive_limiter.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace weir {
namespace {

using bucket = detail::token_bucket;

adaptive_options checked(const adaptive_options& o) {
  const bool bounds = o.least > 0 && o.most >= o.least && o.most <= 1e9 && o.least >= 1e-6;
  const bool start = o.initial == 0 || (o.initial >= o.least && o.initial <= o.most);
  const bool steps = o.decrease > 0 && o.decrease < 1 && o.increase > 0 && o.increase <= 1e6;
  // Not a number compares false.
  if (!bounds || !start || !steps || o.hold_off.count() < 0) {
    throw std::invalid_argument(
        "weir: adaptive_limiter: the options must have 0.000001 <= least <= initial <= most <= 1e9 tokens per second, "
        "0 < decrease < 1, 0 < increase, and no negative hold_off");
  }
  return o;
}

/// A rate as tokens in a period: one token, unless it comes in less than a millisecond.
struct ratio {
  std::uint64_t tokens;
  duration period;
};
ratio as_ratio(double per_second) noexcept {
  double tokens = 1;
  double period = 1e9 / per_second;
  // Whole nanoseconds then stand for at least six digits of the rate.
  if (period < 1e6) {
    tokens = std::ceil(1e6 / period);
    period *= tokens;
  }
  return {static_cast<std::uint64_t>(tokens), duration(std::llround(period))};
}

bucket bucket_of(double per_second, std::uint64_t burst) {
  const auto [tokens, period] = as_ratio(per_second);
  return {"adaptive_limiter", clock::now(), tokens, period, burst, burst, bucket::payment::before};
}

double start_of(const adaptive_options& o) noexcept { return o.initial == 0 ? o.most : o.initial; }

}  // namespace

adaptive_limiter::adaptive_limiter(const adaptive_options& options, std::uint64_t burst)
    : limiter_with(bucket_of(start_of(checked(options)), burst)), options_(options), rate_(start_of(options)) {
  // The slowest rate has the longest period: what is refused is refused now, and not when it has slowed down.
  static_cast<void>(bucket_of(options.least, burst));
}

void adaptive_limiter::change_rate(time_point now, double wanted) {
  rate_ = std::clamp(wanted, options_.least, options_.most);
  const auto [tokens, period] = as_ratio(rate_);
  policy_.set_rate(now, tokens, period);
}

void adaptive_limiter::on_overload() {
  alter([this](time_point now) {
    if (last_overload_ != time_point::min() && now - last_overload_ < options_.hold_off) return;
    last_overload_ = now;
    change_rate(now, rate_ * options_.decrease);
  });
}

void adaptive_limiter::on_success() {
  alter([this](time_point now) { change_rate(now, rate_ * (1 + options_.increase)); });
}

double adaptive_limiter::rate() noexcept {
  const section inside(*this);
  return rate_;
}

}  // namespace weir
