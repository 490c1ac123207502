#include "read_buffer.hpp"

#include <algorithm>
#include <cstring>

#include "../../runtime/detail/config.hpp"

namespace weir::detail {

std::span<const std::byte> read_buffer::bytes() const noexcept { return {memory_.get() + begin_, size()}; }

std::size_t read_buffer::take(std::span<std::byte> into) noexcept {
  const std::size_t n = std::min(into.size(), size());
  if (n != 0) std::memcpy(into.data(), memory_.get() + begin_, n);
  begin_ += n;
  return n;
}

std::size_t read_buffer::next_read() const noexcept {
  const std::size_t now = std::min(capacity_ == 0 ? smallest : capacity_, limit_);
  return filled_up_ && capacity_ != 0 ? std::min(2 * now, limit_) : now;
}

std::span<std::byte> read_buffer::room(std::size_t wanted, std::size_t most) {
  const std::size_t unread = size();
  std::size_t capacity = next_read();
  if (capacity < wanted) {
    capacity = wanted <= capacity_ ? capacity_ : std::max(wanted, std::min(2 * std::max(capacity, capacity_), most));
  }
  if (capacity != capacity_) {
    reallocate(capacity);
  } else if (begin_ >= unread || capacity_ - begin_ < wanted) {
    // As many bytes were consumed as are moved, or more; or else there is no room.
    if (unread != 0) std::memmove(memory_.get(), memory_.get() + begin_, unread);
    begin_ = 0;
    end_ = unread;
  }
  filled_up_ = false;  // it has grown for that, also if nothing comes now
  return {memory_.get() + end_, capacity_ - end_};
}

void read_buffer::put_back(std::span<const std::byte> bytes) noexcept {
  if (bytes.empty()) return;
  WEIR_DETAIL_ASSERT(size() == 0, "bytes are put back before others");
  begin_ = end_ = 0;
  if (bytes.size() > capacity_) reallocate(bytes.size());  // without memory the stream would have a hole: terminates
  std::memcpy(memory_.get(), bytes.data(), bytes.size());
  end_ = bytes.size();
}

void read_buffer::reallocate(std::size_t capacity) {
  owned_array<std::byte> memory(new std::byte[capacity]);
  const std::size_t unread = size();
  if (unread != 0) std::memcpy(memory.get(), memory_.get() + begin_, unread);
  memory_ = std::move(memory);
  capacity_ = capacity;
  begin_ = 0;
  end_ = unread;
}

}  // namespace weir::detail
