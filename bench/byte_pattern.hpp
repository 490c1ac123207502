#pragma once
// The endless stream of bytes that a connection sends and expects back.
//
// Byte k of connection c is table[(start(c) + k) mod period]. The period is a prime above what
// one connection may have in flight, so a lost, doubled or reordered stretch of any length that
// can be in flight lands on other bytes. The table is never written again: sends go straight
// from it and need no buffer, and checking is one memcmp.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <stdexcept>
#include <vector>

namespace bench {

class byte_pattern {
 public:
  /// `longest` is the longest run of bytes that from() will be asked for, and the most in flight.
  explicit byte_pattern(std::size_t longest) : period_(period_above(longest)), table_(period_ + longest) {
    std::uint64_t state = 0x9e3779b97f4a7c15;  // splitmix64: the same bytes in every run
    for (std::size_t i = 0; i < period_; ++i) {
      state += 0x9e3779b97f4a7c15;
      std::uint64_t z = state;
      z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
      z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
      table_[i] = static_cast<std::byte>(z ^ (z >> 31));
    }
    for (std::size_t i = 0; i < longest; ++i) table_[period_ + i] = table_[i];
  }

  std::size_t start(std::size_t connection) const noexcept { return connection * 7919 % period_; }

  std::span<const std::byte> from(std::size_t position, std::size_t length) const noexcept {
    return {table_.data() + position, length};
  }

  bool matches(std::size_t position, std::span<const std::byte> bytes) const noexcept {
    return std::memcmp(table_.data() + position, bytes.data(), bytes.size()) == 0;
  }

  /// `step` is at most the period.
  std::size_t advance(std::size_t position, std::size_t step) const noexcept {
    position += step;
    return position >= period_ ? position - period_ : position;
  }

 private:
  static std::size_t period_above(std::size_t longest) {
    for (const std::size_t prime : {65'521u, 1'048'573u, 16'777'213u}) {
      if (longest < prime) return prime;
    }
    throw std::invalid_argument("size times depth is limited to 16 MB");
  }

  std::size_t period_;
  std::vector<std::byte> table_;
};

}  // namespace bench
