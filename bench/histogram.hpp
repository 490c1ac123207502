#pragma once
// Log-linear histogram of latencies: 128 cells for each power of two, so that every
// percentile is right to within 0.8 % and recording costs a shift and an increment.

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace bench {

class histogram {
 public:
  /// Values beyond 2^40 ns (18 minutes) count as that.
  void record(std::uint64_t nanoseconds) noexcept {
    ++cells_[cell_of(std::min(nanoseconds, largest))];
    ++count_;
  }

  std::uint64_t count() const noexcept { return count_; }

  /// The smallest recorded value (rounded up to its cell's end) that `fraction` of all values do not exceed.
  std::uint64_t quantile(double fraction) const noexcept {
    if (count_ == 0) return 0;
    const double wanted = std::clamp(fraction, 0.0, 1.0) * static_cast<double>(count_);
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < cells_.size(); ++i) {
      seen += cells_[i];
      if (seen > 0 && static_cast<double>(seen) >= wanted) return last_of(i);
    }
    return largest;
  }

 private:
  static constexpr unsigned linear_bits = 7;
  static constexpr std::uint64_t linear = std::uint64_t{1} << linear_bits;
  static constexpr std::uint64_t largest = (std::uint64_t{1} << 40) - 1;

  static std::size_t cell_of(std::uint64_t value) noexcept {
    if (value < linear) return static_cast<std::size_t>(value);
    const unsigned shift = static_cast<unsigned>(std::bit_width(value)) - linear_bits - 1;
    return static_cast<std::size_t>(shift * linear + (value >> shift));
  }

  static std::uint64_t last_of(std::size_t cell) noexcept {
    if (cell < linear) return cell;
    const std::uint64_t shift = cell / linear - 1;
    return ((cell - shift * linear + 1) << shift) - 1;
  }

  std::array<std::uint64_t, (41 - linear_bits) * linear> cells_{};
  std::uint64_t count_ = 0;
};

}  // namespace bench
