#include "limit_windows.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "rate_arithmetic.hpp"

namespace weir::detail {

namespace {

time_point after_windows(time_point start, duration window, std::uint64_t count) noexcept {
  return add_saturated(start, duration(narrow(wide_integer{window.count()} * count)));
}

}  // namespace

// ---- limit_in_window

limit_in_window::limit_in_window(const char* whose, std::uint64_t limit, duration window)
    : whose_(whose), limit_(limit), window_(window) {
  check(limit, window);
}

void limit_in_window::check(std::uint64_t limit, duration window) const {
  if (limit == 0) throw std::invalid_argument(std::string("weir: the limit of a ") + whose_ + " must be at least 1");
  if (window <= duration::zero()) {
    throw std::invalid_argument(std::string("weir: the window of a ") + whose_ + " must be positive");
  }
  if (limit > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    throw std::invalid_argument(std::string("weir: the limit of a ") + whose_ + " is too large");
  }
}

// ---- fixed_window

fixed_window::fixed_window(const char* whose, time_point now, std::uint64_t limit, duration window)
    : limit_in_window(whose, limit, window), start_(now) {}

void fixed_window::roll(time_point now) noexcept {
  if (now < start_) {
    start_ = now;
  } else if (now - start_ >= window_) {
    start_ += window_ * ((now - start_) / window_);
  } else {
    return;
  }
  used_ = 0;
}

bool fixed_window::take(time_point now, std::uint64_t n) noexcept {
  roll(now);
  if (used_ + n > limit_) return false;
  used_ += n;
  return true;
}

void fixed_window::give_back(time_point taken, std::uint64_t n) noexcept {
  if (taken >= start_) used_ -= std::min(used_, n);
}

time_point fixed_window::when_behind(time_point now, std::uint64_t ahead, std::uint64_t n) noexcept {
  roll(now);
  const std::uint64_t all = used_ + ahead + n;
  return all <= limit_ ? now : after_windows(start_, window_, (all - 1) / limit_);
}

bool fixed_window::at_rest(time_point now) noexcept {
  roll(now);
  return used_ == 0;
}

std::uint64_t fixed_window::available(time_point now) noexcept {
  roll(now);
  return limit_ - std::min(limit_, used_);
}

void fixed_window::set_rate(time_point now, std::uint64_t limit, duration window) {
  check(limit, window);
  roll(now);
  limit_ = limit;
  window_ = window;
}

// ---- sliding_log

sliding_log::sliding_log(const char* whose, time_point, std::uint64_t limit, duration window)
    : limit_in_window(whose, limit, window), taken_(limit) {}

void sliding_log::forget_old(time_point now) noexcept {
  if (count_ != 0 && now < at(count_ - 1)) count_ = 0;
  while (count_ != 0 && now - at(0) >= window_) {
    first_ = (first_ + 1) % taken_.size();
    --count_;
  }
}

bool sliding_log::take(time_point now, std::uint64_t n) noexcept {
  forget_old(now);
  if (count_ + n > limit_) return false;
  for (std::uint64_t i = 0; i < n; ++i) at(count_++) = now;
  return true;
}

void sliding_log::give_back(time_point taken, std::uint64_t n) noexcept {
  std::uint64_t kept = 0;
  for (std::uint64_t i = 0; i < count_; ++i) {
    if (n != 0 && at(i) == taken) {
      --n;
    } else {
      at(kept++) = at(i);
    }
  }
  count_ = kept;
}

time_point sliding_log::when_behind(time_point now, std::uint64_t ahead, std::uint64_t n) noexcept {
  forget_old(now);
  const std::uint64_t all = count_ + ahead + n;
  if (all <= limit_) return now;
  // So many have to leave the window first. Those that are still to come leave one window after they could be taken,
  // for which `limit_` fewer had to leave.
  std::uint64_t leaving = all - limit_;
  std::uint64_t rounds = 1;
  if (leaving > count_) {
    const std::uint64_t more = (leaving - count_ + limit_ - 1) / limit_;
    rounds += more;
    const std::uint64_t passed = more * limit_;
    if (leaving <= passed) return after_windows(now, window_, rounds - 1);
    leaving -= passed;
  }
  return after_windows(at(leaving - 1), window_, rounds);
}

bool sliding_log::at_rest(time_point now) noexcept {
  forget_old(now);
  return count_ == 0;
}

std::uint64_t sliding_log::available(time_point now) noexcept {
  forget_old(now);
  return limit_ - std::min(limit_, count_);
}

void sliding_log::set_rate(time_point now, std::uint64_t limit, duration window) {
  check(limit, window);
  if (limit > taken_.size()) {
    std::vector<time_point> larger(limit);
    for (std::uint64_t i = 0; i < count_; ++i) larger[i] = at(i);
    taken_ = std::move(larger);
    first_ = 0;
  }
  limit_ = limit;
  window_ = window;
  forget_old(now);
}

// ---- sliding_counter

sliding_counter::sliding_counter(const char* whose, time_point now, std::uint64_t limit, duration window)
    : limit_in_window(whose, limit, window), start_(now) {}

void sliding_counter::roll(time_point now) noexcept {
  if (now < start_) {
    start_ = now;
    before_ = present_ = 0;
  }
  const auto passed = (now - start_) / window_;
  if (passed == 0) return;
  before_ = passed == 1 ? present_ : 0;
  present_ = 0;
  start_ += window_ * passed;
}

bool sliding_counter::fits(time_point now, std::uint64_t n) const noexcept {
  const std::int64_t left = (window_ - (now - start_)).count();
  const std::int64_t window = window_.count();
  return wide_integer{before_} * left + (wide_integer{present_} + n) * window <= wide_integer{limit_} * window;
}

bool sliding_counter::take(time_point now, std::uint64_t n) noexcept {
  roll(now);
  if (!fits(now, n)) return false;
  present_ += n;
  return true;
}

void sliding_counter::give_back(time_point taken, std::uint64_t n) noexcept {
  if (taken >= start_) {
    present_ -= std::min(present_, n);
  } else if (taken >= start_ - window_) {
    before_ -= std::min(before_, n);
  }
}

time_point sliding_counter::when(time_point now, std::uint64_t n) noexcept {
  roll(now);
  if (fits(now, n)) return now;
  const std::int64_t window = window_.count();
  // `counted` of the window before weigh less and less: from when on they leave room for n beside `used`.
  const auto from = [&](std::uint64_t counted, std::uint64_t used) {
    const auto room = static_cast<std::int64_t>(limit_ - used - n);
    return window - std::min(window, multiply_divide(room, window, static_cast<std::int64_t>(counted)));
  };
  if (present_ + n <= limit_) return start_ + duration(from(before_, present_));
  return add_saturated(start_ + window_, duration(from(present_, 0)));
}

bool sliding_counter::at_rest(time_point now) noexcept {
  roll(now);
  return before_ == 0 && present_ == 0;
}

std::uint64_t sliding_counter::available(time_point now) noexcept {
  roll(now);
  const std::int64_t window = window_.count();
  const auto weighed =
      static_cast<std::uint64_t>(divide_up(wide_integer{before_} * (window - (now - start_).count()), window));
  return limit_ - std::min(limit_, weighed + present_);
}

void sliding_counter::set_rate(time_point now, std::uint64_t limit, duration window) {
  check(limit, window);
  roll(now);
  limit_ = limit;
  window_ = window;
}

}  // namespace weir::detail
