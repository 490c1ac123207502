#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <span>
#include <utility>

namespace test {

/// Memory for I/O whose pages are taken away when it dies. Sanitizers do not see what the kernel does; but a kernel
/// that still had the buffer would meet EFAULT here, and an operation with a surprising error. Addresses are not used
/// again.
///
/// The bytes end at a page that nobody may touch; what lies before them is a canary, looked at by intact() and at the
/// end.
class guarded_buffer {
 public:
  explicit guarded_buffer(std::size_t size, std::byte fill = std::byte{0}) : size_(size) {
    const std::size_t page = page_size();
    mapped_ = (size + smallest_canary + page - 1) / page * page + page;
    void* base = ::mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) throw std::bad_alloc();
    base_ = static_cast<std::byte*>(base);
    if (::mprotect(base_ + mapped_ - page, page, PROT_NONE) != 0) throw std::bad_alloc();
    data_ = base_ + mapped_ - page - size;
    std::memset(data_, static_cast<int>(fill), size);
    std::memset(canary(), canary_byte, smallest_canary);
  }
  guarded_buffer(guarded_buffer&& other) noexcept
      : base_(std::exchange(other.base_, nullptr)), mapped_(other.mapped_), data_(other.data_), size_(other.size_) {}
  guarded_buffer& operator=(guarded_buffer&& other) noexcept {
    guarded_buffer taken(std::move(other));
    std::swap(base_, taken.base_);
    std::swap(mapped_, taken.mapped_);
    std::swap(data_, taken.data_);
    std::swap(size_, taken.size_);
    return *this;
  }
  ~guarded_buffer() {
    if (!base_) return;
    if (!intact()) std::abort();
    // Reserved for ever rather than given back: who comes late finds nothing, not somebody else's memory.
    void* gone = ::mmap(base_, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    if (gone == MAP_FAILED) std::abort();
  }

  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::span<std::byte> span() const noexcept { return {data_, size_}; }
  [[nodiscard]] std::span<std::byte> first(std::size_t n) const noexcept { return span().first(n); }
  [[nodiscard]] std::span<std::byte> last_from(std::size_t n) const noexcept { return span().subspan(n); }
  operator std::span<std::byte>() const noexcept { return span(); }  // NOLINT(google-explicit-constructor)
  operator std::span<const std::byte>() const noexcept {
    return {data_, size_};
  }  // NOLINT(google-explicit-constructor)
  std::byte& operator[](std::size_t i) const noexcept { return data_[i]; }

  /// Nothing was written before the first byte.
  [[nodiscard]] bool intact() const noexcept {
    for (std::size_t i = 0; i < smallest_canary; ++i) {
      if (canary()[i] != std::byte{canary_byte}) return false;
    }
    return true;
  }

 private:
  static constexpr std::size_t smallest_canary = 64;
  static constexpr unsigned char canary_byte = 0xc5;

  static std::size_t page_size() noexcept { return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)); }
  [[nodiscard]] std::byte* canary() const noexcept { return data_ - smallest_canary; }

  std::byte* base_ = nullptr;
  std::size_t mapped_ = 0;
  std::byte* data_ = nullptr;
  std::size_t size_;
};

}  // namespace test
