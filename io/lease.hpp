#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "../runtime/detail/take.hpp"

namespace weir {

namespace detail {
class lease_pool;
class receive_lease_operation;
}  // namespace detail

/// The bytes that a stream's receive() has read, in a buffer that is lent: one of those that the worker has on which
/// receive() was awaited (runtime_options::lease_buffers). It goes home when the lease is dropped, which any thread may
/// do, after the stream was closed and after the runtime has ended, too: the buffers live as long as a lease of them.
/// While it is held others wait for it, so it is for what is done with the bytes next, not for keeping them.
///
/// A range of bytes, which may be changed in place; `co_await stream.write_all(lease)` sends them. Move-only; who has
/// been moved from has none. Everything is O(1) and allocates nothing. Not for two threads at once.
class lease {
 public:
  lease() = default;
  lease(lease&& other) noexcept
      : pool_(detail::take(other.pool_)),
        bytes_(detail::take(other.bytes_)),
        size_(detail::take(other.size_)),
        index_(other.index_) {}
  lease& operator=(lease&& other) noexcept {
    if (this == &other) return *this;
    reset();
    pool_ = detail::take(other.pool_);
    bytes_ = detail::take(other.bytes_);
    size_ = detail::take(other.size_);
    index_ = other.index_;
    return *this;
  }
  ~lease() { reset(); }

  [[nodiscard]] std::span<std::byte> bytes() const noexcept;
  [[nodiscard]] std::byte* data() const noexcept { return bytes_; }
  /// At least 1 of what receive() completes with.
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] std::byte* begin() const noexcept { return bytes_; }
  [[nodiscard]] std::byte* end() const noexcept { return bytes_ + size_; }
  /// Whether it holds a buffer.
  explicit operator bool() const noexcept { return pool_ != nullptr; }

  /// The buffer goes home now.
  void reset() noexcept {
    if (pool_) go_home();
  }

 private:
  friend class detail::lease_pool;
  friend class detail::receive_lease_operation;
  lease(detail::lease_pool& pool, std::byte* bytes, unsigned index) noexcept
      : pool_(&pool), bytes_(bytes), index_(index) {}
  void go_home() noexcept;

  detail::lease_pool* pool_ = nullptr;
  std::byte* bytes_ = nullptr;
  std::uint32_t size_ = 0;
  std::uint32_t index_ = 0;  // of the buffer in its pool
};

}  // namespace weir
