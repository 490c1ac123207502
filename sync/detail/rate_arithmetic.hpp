#pragma once

#include <cstdint>
#include <limits>

namespace weir::detail {

__extension__ using wide_integer = __int128;

/// `value`, or the nearest that 64 bits hold.
constexpr std::int64_t narrow(wide_integer value) noexcept {
  using limits = std::numeric_limits<std::int64_t>;
  if (value > limits::max()) return limits::max();
  if (value < limits::min()) return limits::min();
  return static_cast<std::int64_t>(value);
}

/// `a * b / c` rounded down, for none of them negative and c positive.
constexpr std::int64_t multiply_divide(std::int64_t a, std::int64_t b, std::int64_t c) noexcept {
  return narrow(wide_integer{a} * b / c);
}

/// `a / b` rounded up, for b positive. What is not positive gives 0.
constexpr std::int64_t divide_up(wide_integer a, std::int64_t b) noexcept {
  return a <= 0 ? 0 : narrow((a + b - 1) / b);
}

}  // namespace weir::detail
