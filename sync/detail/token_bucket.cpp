#include "token_bucket.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>

#include "rate_arithmetic.hpp"

namespace weir::detail {

namespace {

// Twice as much still fits: a level goes from minus this to this.
constexpr std::int64_t most_parts = std::numeric_limits<std::int64_t>::max() / 4;

}  // namespace

token_bucket::token_bucket(const char* whose, time_point now, std::uint64_t tokens, duration period,
                           std::uint64_t burst, std::uint64_t initial, payment when)
    : whose_(whose), at_(now), burst_(burst), payment_(when) {
  if (burst == 0) throw std::invalid_argument(std::string("weir: the burst of a ") + whose + " must be at least 1");
  set_rate(now, tokens, period);
  if (payment_ == payment::before) level_ = static_cast<std::int64_t>(std::min(initial, burst)) * period_;
}

void token_bucket::set_rate(time_point now, std::uint64_t tokens, duration period) {
  if (tokens == 0 || period <= duration::zero()) {
    throw std::invalid_argument(std::string("weir: the rate of a ") + whose_ +
                                " must be a positive number of tokens in a positive time");
  }
  if (tokens > static_cast<std::uint64_t>(most_parts)) {
    throw std::invalid_argument(std::string("weir: the rate of a ") + whose_ + " is too large");
  }
  const auto shared = std::gcd(static_cast<std::int64_t>(tokens), static_cast<std::int64_t>(period.count()));
  const std::int64_t parts = period.count() / shared;
  if (wide_integer{burst_} * parts > most_parts) {
    throw std::invalid_argument(std::string("weir: the rate and burst of a ") + whose_ +
                                " are too large to be counted exactly: the burst times the nanoseconds of the period "
                                "must stay below 2^61");
  }
  if (period_ != 0) {
    refill(now);
    level_ = level_ < 0 ? -multiply_divide(-level_, parts, period_) : multiply_divide(level_, parts, period_);
  }
  tokens_ = static_cast<std::int64_t>(tokens) / shared;
  period_ = parts;
  full_ = payment_ == payment::before ? static_cast<std::int64_t>(burst_) * parts : 0;
  level_ = std::min(level_, full_);
}

void token_bucket::refill(time_point now) noexcept {
  const std::int64_t elapsed = (now - at_).count();
  at_ = now;
  if (elapsed <= 0) return;
  const std::int64_t missing = full_ - level_;
  // Below the time until it is full the product is below what is missing.
  level_ = elapsed >= divide_up(missing, tokens_) ? full_ : level_ + elapsed * tokens_;
}

bool token_bucket::take(time_point now, std::uint64_t n) noexcept {
  refill(now);
  const auto cost = static_cast<std::int64_t>(n) * period_;
  if (level_ < (payment_ == payment::before ? cost : 0)) return false;
  level_ -= cost;
  return true;
}

void token_bucket::give_back(time_point, std::uint64_t n) noexcept {
  level_ = std::min(full_, level_ + static_cast<std::int64_t>(n) * period_);
}

time_point token_bucket::when_behind(time_point now, std::uint64_t ahead, std::uint64_t n) noexcept {
  refill(now);
  const wide_integer wanted = wide_integer{ahead} + (payment_ == payment::before ? n : 0);
  return add_saturated(now, duration(divide_up(wanted * period_ - level_, tokens_)));
}

bool token_bucket::at_rest(time_point now) noexcept {
  refill(now);
  return level_ == full_;
}

std::uint64_t token_bucket::available(time_point now) noexcept {
  refill(now);
  return level_ < 0 ? 0 : static_cast<std::uint64_t>(level_ / period_);
}

}  // namespace weir::detail
