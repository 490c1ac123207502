#include "aligned_buffer.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "detail/registered_buffers.hpp"

namespace weir {

namespace {

constexpr std::size_t huge_page = std::size_t{2} << 20;

std::size_t rounded(std::size_t size, std::size_t alignment) {
  if (alignment == 0 || (alignment & (alignment - 1)) != 0) {
    throw std::invalid_argument("aligned_buffer: the alignment must be a power of two");
  }
  if (size > static_cast<std::size_t>(-1) - alignment) throw std::bad_alloc();
  return (size + alignment - 1) & ~(alignment - 1);
}

}  // namespace

aligned_buffer::aligned_buffer(std::size_t size, std::size_t alignment)
    : size_(rounded(size, alignment)), alignment_(alignment) {
  if (size_ == 0) return;
  if (size_ >= huge_page) alignment_ = std::max(alignment_, huge_page);
  data_ = static_cast<std::byte*>(::operator new(size_, std::align_val_t{alignment_}));
  // Before it is touched, and only whole pages of it; a kernel that has none refuses, and nothing is lost.
  if (size_ >= huge_page) static_cast<void>(::madvise(data_, size_ & ~(huge_page - 1), MADV_HUGEPAGE));
  std::memset(data_, 0, size_);
}

aligned_buffer::aligned_buffer(std::size_t size, aligned_buffer_options options)
    : aligned_buffer(size, options.alignment) {
  if (!options.registered || size_ == 0) return;
  detail::registered_buffers::add(data_, size_);
  registered_ = true;
}

void aligned_buffer::end_registration() noexcept { detail::registered_buffers::remove(data_); }

}  // namespace weir
