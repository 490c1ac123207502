#pragma once

#include <cstdint>

#include "../../runtime/clock.hpp"

namespace weir::detail {

/// When tokens of a bucket may be taken, in whole numbers: nothing is lost by rounding, however long it runs. The level
/// is counted in parts of a token, so many as the period has nanoseconds; then each nanosecond adds just `tokens` of
/// them. Nobody has to refill it. (The generic cell rate algorithm of ITU-T I.371 with the level written down in place
/// of the arrival time.)
///
/// Not thread-safe. A time before the latest one is another clock's, and it goes on from there. All O(1).
class token_bucket {
 public:
  /// What is due behind several others depends on how many tokens they take together, and on nothing else.
  static constexpr bool additive = true;

  enum class payment : std::uint8_t {
    before,  ///< who takes n tokens waits until there are n
    after,   ///< until there is no debt, and then has n of it: whoever comes next waits for them. No burst.
  };

  /// Holds `burst` tokens at most, and `initial` of them now. Throws std::invalid_argument, which names `whose`, for a
  /// rate or burst that is not positive or too large to count.
  token_bucket(const char* whose, time_point now, std::uint64_t tokens, duration period, std::uint64_t burst,
               std::uint64_t initial, payment when);

  /// Whose rule this is.
  [[nodiscard]] const char* whose() const noexcept { return whose_; }
  bool take(time_point now, std::uint64_t n) noexcept;
  /// What was taken at `taken`.
  void give_back(time_point taken, std::uint64_t n) noexcept;
  /// From when on n can be taken, if nothing else is.
  [[nodiscard]] time_point when(time_point now, std::uint64_t n) noexcept { return when_behind(now, 0, n); }
  /// The same once `ahead` tokens have been taken by others.
  [[nodiscard]] time_point when_behind(time_point now, std::uint64_t ahead, std::uint64_t n) noexcept;
  [[nodiscard]] std::uint64_t most() const noexcept { return burst_; }
  /// Nothing of the past matters any more.
  [[nodiscard]] bool at_rest(time_point now) noexcept;
  /// Whole tokens that can be taken now.
  [[nodiscard]] std::uint64_t available(time_point now) noexcept;

  /// Keeps the tokens that are there, or the debt. Throws as the constructor does, and has no effect then.
  void set_rate(time_point now, std::uint64_t tokens, duration period);

 private:
  void refill(time_point now) noexcept;

  const char* whose_;
  std::int64_t tokens_ = 0;  // per period, in lowest terms
  std::int64_t period_ = 0;  // nanoseconds, and the parts of a token
  std::int64_t full_ = 0;    // parts
  std::int64_t level_ = 0;   // parts at `at_`
  time_point at_;
  std::uint64_t burst_;
  payment payment_;
};

}  // namespace weir::detail
