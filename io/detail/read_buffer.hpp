#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <utility>

#include "../../runtime/detail/owned.hpp"
#include "../../runtime/detail/take.hpp"

namespace weir::detail {

/// Bytes that were read and not yet asked for, in one piece. Starts small and doubles while reads fill it, up to its
/// limit: a connection that is idle, or sends little, holds little. Grows beyond the limit for who wants more in one
/// piece, and comes back. Nothing is allocated before the first read.
class read_buffer {
 public:
  static constexpr std::size_t smallest = 4096;

  explicit read_buffer(std::size_t limit) noexcept : limit_(limit == 0 ? 1 : limit) {}
  read_buffer(read_buffer&& other) noexcept
      : memory_(std::move(other.memory_)),
        capacity_(detail::take(other.capacity_)),
        begin_(detail::take(other.begin_)),
        end_(detail::take(other.end_)),
        limit_(other.limit_),
        filled_up_(detail::take(other.filled_up_)) {}
  read_buffer& operator=(read_buffer&& other) noexcept {
    memory_ = std::move(other.memory_);
    capacity_ = detail::take(other.capacity_);
    begin_ = detail::take(other.begin_);
    end_ = detail::take(other.end_);
    limit_ = other.limit_;
    filled_up_ = detail::take(other.filled_up_);
    return *this;
  }
  ~read_buffer() = default;

  [[nodiscard]] std::size_t size() const noexcept { return end_ - begin_; }
  [[nodiscard]] std::size_t limit() const noexcept { return limit_; }
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept;
  [[nodiscard]] std::string_view text() const noexcept {
    return {reinterpret_cast<const char*>(memory_.get()) + begin_, size()};
  }
  /// What was consumed stays readable until the next room() or put_back().
  void consume(std::size_t n) noexcept { begin_ += n; }
  /// Moves as many bytes as are here, and fit, into `into`: their number.
  std::size_t take(std::span<std::byte> into) noexcept;

  /// The least that a read into the empty buffer asks for.
  [[nodiscard]] std::size_t next_read() const noexcept;
  /// Where the next read goes: at least one byte. Makes room for `wanted` unread bytes, which is more than size(); in
  /// one piece that grows step by step, but not beyond max(most, wanted, limit).
  [[nodiscard]] std::span<std::byte> room(std::size_t wanted, std::size_t most);
  /// The read was given `n` bytes of the room.
  void filled(std::size_t n) noexcept {
    end_ += n;
    filled_up_ = end_ == capacity_;
  }
  /// Into the buffer, which is empty: `bytes` were taken and have to be read once more.
  void put_back(std::span<const std::byte> bytes) noexcept;

 private:
  void reallocate(std::size_t capacity);

  owned_array<std::byte> memory_;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::size_t limit_;
  bool filled_up_ = false;  // the latest read took all of the room: there may be more than that
};

}  // namespace weir::detail
