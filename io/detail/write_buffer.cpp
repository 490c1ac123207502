#include "write_buffer.hpp"

#include <algorithm>
#include <cstring>

namespace weir::detail {

std::span<const std::byte> write_buffer::bytes() const noexcept { return {memory_.get() + begin_, size()}; }

void write_buffer::append(std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  if (capacity_ - end_ < bytes.size()) make_room(size() + bytes.size());
  std::memcpy(memory_.get() + end_, bytes.data(), bytes.size());
  end_ += bytes.size();
}

void write_buffer::make_room(std::size_t wanted) {
  const std::size_t unwritten = size();
  if (wanted > capacity_) {
    const std::size_t capacity = std::clamp(std::max(smallest, 2 * capacity_), wanted, std::max(wanted, limit_));
    owned_array<std::byte> memory(new std::byte[capacity]);
    if (unwritten != 0) std::memcpy(memory.get(), memory_.get() + begin_, unwritten);
    memory_ = std::move(memory);
    capacity_ = capacity;
  } else {
    std::memmove(memory_.get(), memory_.get() + begin_, unwritten);
  }
  begin_ = 0;
  end_ = unwritten;
}

}  // namespace weir::detail
