#pragma once

#include <cstdint>

#include "../../runtime/clock.hpp"
#include "../../runtime/detail/scheduler.hpp"

namespace weir::detail {

/// Uniform in [0, 1), in steps of a billionth. In a simulation the seed decides.
inline double random_unit() noexcept {
  constexpr std::uint32_t steps = 1u << 30;
  return static_cast<double>(random_below(steps)) / steps;
}

/// Uniform between the two.
inline duration random_between(duration low, duration high) noexcept {
  if (high <= low) return low;
  return low + duration(static_cast<duration::rep>(static_cast<double>((high - low).count()) * random_unit()));
}

}  // namespace weir::detail
