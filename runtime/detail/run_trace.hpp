#pragma once

#include <cstdint>

namespace weir::detail {

/// A hash over everything that a simulation decides, in order. Equal hashes: the same run, event by event.
class run_trace {
 public:
  enum class step : std::uint8_t { pick, turn, jump, event, completion };

  void note(step what, std::uint64_t value) noexcept {
    mix(static_cast<std::uint64_t>(what));
    mix(value);
  }
  [[nodiscard]] std::uint64_t hash() const noexcept { return hash_; }

 private:
  // The finaliser of SplitMix64, so that every bit of what came before reaches every bit of the hash.
  void mix(std::uint64_t value) noexcept {
    std::uint64_t z = hash_ ^ (value + 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    hash_ = z ^ (z >> 31);
  }

  std::uint64_t hash_ = 0;
};

}  // namespace weir::detail
