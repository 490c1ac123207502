#pragma once

#include <cstdint>
#include <vector>

#include "../../runtime/clock.hpp"

// How many of a time: the arithmetic of the window limiters. Each has what token_bucket has, under the same names. What
// when_behind() says is exact if those ahead each take one, and otherwise not too late. What give_back() is told is the
// time at which they were taken.

namespace weir::detail {

/// What all of them have.
class limit_in_window {
 public:
  /// Whose rule this is.
  [[nodiscard]] const char* whose() const noexcept { return whose_; }
  [[nodiscard]] std::uint64_t most() const noexcept { return limit_; }

 protected:
  /// Throws std::invalid_argument, which names `whose`.
  limit_in_window(const char* whose, std::uint64_t limit, duration window);
  /// Throws as the constructor does.
  void check(std::uint64_t limit, duration window) const;

  const char* whose_;
  std::uint64_t limit_;
  duration window_;
};

/// So many in each window of a grid that begins when it is made.
class fixed_window : public limit_in_window {
 public:
  fixed_window(const char* whose, time_point now, std::uint64_t limit, duration window);

  bool take(time_point now, std::uint64_t n) noexcept;
  void give_back(time_point taken, std::uint64_t n) noexcept;
  [[nodiscard]] time_point when(time_point now, std::uint64_t n) noexcept { return when_behind(now, 0, n); }
  [[nodiscard]] time_point when_behind(time_point now, std::uint64_t ahead, std::uint64_t n) noexcept;
  [[nodiscard]] bool at_rest(time_point now) noexcept;
  [[nodiscard]] std::uint64_t available(time_point now) noexcept;
  void set_rate(time_point now, std::uint64_t limit, duration window);

 private:
  void roll(time_point now) noexcept;

  time_point start_;  // of the window in which `used_` were taken
  std::uint64_t used_ = 0;
};

/// So many in any window: keeps the time of each. Memory: 8 bytes for each that a window may have.
class sliding_log : public limit_in_window {
 public:
  sliding_log(const char* whose, time_point now, std::uint64_t limit, duration window);

  bool take(time_point now, std::uint64_t n) noexcept;
  void give_back(time_point taken, std::uint64_t n) noexcept;
  [[nodiscard]] time_point when(time_point now, std::uint64_t n) noexcept { return when_behind(now, 0, n); }
  [[nodiscard]] time_point when_behind(time_point now, std::uint64_t ahead, std::uint64_t n) noexcept;
  [[nodiscard]] bool at_rest(time_point now) noexcept;
  [[nodiscard]] std::uint64_t available(time_point now) noexcept;
  void set_rate(time_point now, std::uint64_t limit, duration window);

 private:
  void forget_old(time_point now) noexcept;
  [[nodiscard]] time_point& at(std::uint64_t index) noexcept { return taken_[(first_ + index) % taken_.size()]; }

  std::vector<time_point> taken_;  // a ring of at least limit_
  std::uint64_t first_ = 0;        // the oldest
  std::uint64_t count_ = 0;
};

/// So many in any window, if those of the window before had come evenly: two counters, whatever the limit. (Described
/// by Cloudflare, "How we built rate limiting capable of scaling to millions of domains", 2017.)
class sliding_counter : public limit_in_window {
 public:
  sliding_counter(const char* whose, time_point now, std::uint64_t limit, duration window);

  bool take(time_point now, std::uint64_t n) noexcept;
  void give_back(time_point taken, std::uint64_t n) noexcept;
  [[nodiscard]] time_point when(time_point now, std::uint64_t n) noexcept;
  [[nodiscard]] time_point when_behind(time_point now, std::uint64_t, std::uint64_t n) noexcept { return when(now, n); }
  [[nodiscard]] bool at_rest(time_point now) noexcept;
  [[nodiscard]] std::uint64_t available(time_point now) noexcept;
  void set_rate(time_point now, std::uint64_t limit, duration window);

 private:
  void roll(time_point now) noexcept;
  [[nodiscard]] bool fits(time_point now, std::uint64_t n) const noexcept;

  time_point start_;  // of the present window
  std::uint64_t before_ = 0;
  std::uint64_t present_ = 0;
};

}  // namespace weir::detail
