#pragma once

#include <cstddef>
#include <new>
#include <span>
#include <utility>

#include "../runtime/detail/take.hpp"

namespace weir {

struct aligned_buffer_options {
  /// A power of two.
  std::size_t alignment = 4096;
  /// Rings keep the memory pinned, instead of pinning it anew for each direct transfer: 6 to 30 % less CPU for one.
  bool registered = false;
};

/// Memory for direct I/O (file_mode::direct): zeroed, and beginning and ending at a multiple of `alignment`, which
/// suits any device as it is. Move-only; one that was moved from is empty.
///
///     weir::aligned_buffer block(65'536);
///     const std::size_t n = co_await file.read_at(block, 0);
///
/// From 2 MiB on it begins at a multiple of that, and stands in huge pages where the kernel has some to give. A device
/// then gets one piece of memory for a transfer instead of one for every 4 KiB, which can double what it does: for many
/// transfers at once make one large buffer and give each a part.
///
/// If it is `registered` direct reads and writes of any part of it, with one span, are of registered memory on
/// io_uring:
///
///     weir::aligned_buffer blocks(32 * 65'536, {.registered = true});
///
/// Where the kernel refuses they are plain ones, and no error. A worker's first such transfer registers it with that
/// worker's ring, which allocates and pins all of it. When it ends the rings let go in their workers' next turns; until
/// then its pages are not free. Making and destroying one takes a lock of the process: make few, and keep them.
class aligned_buffer {
 public:
  static constexpr std::size_t default_alignment = 4096;

  aligned_buffer() = default;
  /// `size` is rounded up. Throws std::bad_alloc, and std::invalid_argument when `alignment` is no power of two.
  explicit aligned_buffer(std::size_t size, std::size_t alignment = default_alignment);
  /// The same.
  aligned_buffer(std::size_t size, aligned_buffer_options options);
  aligned_buffer(aligned_buffer&& other) noexcept
      : data_(detail::take(other.data_)),
        size_(detail::take(other.size_)),
        alignment_(other.alignment_),
        registered_(detail::take(other.registered_)) {}
  aligned_buffer& operator=(aligned_buffer&& other) noexcept {
    aligned_buffer taken(std::move(other));
    detail::trade(data_, taken.data_);
    detail::trade(size_, taken.size_);
    detail::trade(alignment_, taken.alignment_);
    detail::trade(registered_, taken.registered_);
    return *this;
  }
  ~aligned_buffer() {
    if (registered_) end_registration();
    if (data_) ::operator delete(data_, std::align_val_t{alignment_});
  }

  [[nodiscard]] std::byte* data() noexcept { return data_; }
  [[nodiscard]] const std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] std::size_t alignment() const noexcept { return alignment_; }
  [[nodiscard]] std::byte* begin() noexcept { return data_; }
  [[nodiscard]] std::byte* end() noexcept { return data_ + size_; }
  [[nodiscard]] const std::byte* begin() const noexcept { return data_; }
  [[nodiscard]] const std::byte* end() const noexcept { return data_ + size_; }
  std::byte& operator[](std::size_t i) noexcept { return data_[i]; }
  const std::byte& operator[](std::size_t i) const noexcept { return data_[i]; }

 private:
  void end_registration() noexcept;

  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t alignment_ = default_alignment;
  bool registered_ = false;
};

}  // namespace weir
