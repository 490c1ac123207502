#pragma once

#include <cstddef>
#include <span>
#include <utility>

#include "../../runtime/detail/owned.hpp"
#include "../../runtime/detail/take.hpp"

namespace weir::detail {

/// Bytes that are still to be written, in one piece. Starts small and grows up to its limit; nothing is allocated
/// before the first append.
class write_buffer {
 public:
  static constexpr std::size_t smallest = 4096;

  explicit write_buffer(std::size_t limit) noexcept : limit_(limit == 0 ? 1 : limit) {}
  write_buffer(write_buffer&& other) noexcept
      : memory_(std::move(other.memory_)),
        capacity_(detail::take(other.capacity_)),
        begin_(detail::take(other.begin_)),
        end_(detail::take(other.end_)),
        limit_(other.limit_) {}
  write_buffer& operator=(write_buffer&& other) noexcept {
    memory_ = std::move(other.memory_);
    capacity_ = detail::take(other.capacity_);
    begin_ = detail::take(other.begin_);
    end_ = detail::take(other.end_);
    limit_ = other.limit_;
    return *this;
  }
  ~write_buffer() = default;

  [[nodiscard]] std::size_t size() const noexcept { return end_ - begin_; }
  [[nodiscard]] std::size_t limit() const noexcept { return limit_; }
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept;
  [[nodiscard]] bool fits(std::size_t n) const noexcept { return n <= limit_ - size(); }
  /// `bytes`, which fit and lie elsewhere.
  void append(std::span<const std::byte> bytes);
  /// The first `n` have been written.
  void written(std::size_t n) noexcept {
    begin_ += n;
    if (begin_ == end_) begin_ = end_ = 0;
  }

 private:
  void make_room(std::size_t wanted);

  owned_array<std::byte> memory_;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::size_t limit_;
};

}  // namespace weir::detail
