#include <sys/uio.h>

#include <algorithm>
#include <new>
#include <utility>

#include "../../runtime/detail/reactor.hpp"
#include "ring_buffers_impl.hpp"

namespace weir::detail {

bool ring_buffers::use(io_uring_sqe& entry, io_uring& ring, reactor& owner) noexcept {
  if (no_table_ || (entry.opcode != IORING_OP_READ && entry.opcode != IORING_OP_WRITE)) return false;
  // What has gone may have left its address to other memory, and the ring would still write to the old.
  if (seen_ != registered_buffers::changes() && !follow(ring)) return false;
  known* const within = find(entry.addr, entry.len);
  if (!within) return false;
  if (within->slot == unused) enter(*within, ring, owner);
  if (within->slot >= slots) return false;
  entry.opcode = entry.opcode == IORING_OP_READ ? IORING_OP_READ_FIXED : IORING_OP_WRITE_FIXED;
  entry.buf_index = within->slot;
  return true;
}

ring_buffers::known* ring_buffers::find(std::uint64_t begin, std::uint64_t size) noexcept {
  const auto after = std::upper_bound(buffers_.begin(), buffers_.end(), begin,
                                      [](std::uint64_t at, const known& one) { return at < one.memory.begin; });
  if (after == buffers_.begin()) return nullptr;
  known& found = *std::prev(after);
  return begin < found.memory.end && size <= found.memory.end - begin ? &found : nullptr;
}

void ring_buffers::enter(known& one, io_uring& ring, reactor& owner) noexcept {
  if (!has_table_) make_table(ring, owner);
  if (free_.empty()) return;
  const std::uint16_t slot = free_.back();
  // NOLINTNEXTLINE(performance-no-int-to-ptr)
  const iovec memory{reinterpret_cast<void*>(one.memory.begin), one.memory.end - one.memory.begin};
  const bool taken = io_uring_register_buffers_update_tag(&ring, slot, &memory, nullptr, 1) == 1;
  if (taken) free_.pop_back();
  one.slot = taken ? slot : refused;
}

void ring_buffers::let_go(known& one, io_uring& ring) noexcept {
  if (one.slot >= slots) return;
  const iovec nothing{};
  static_cast<void>(io_uring_register_buffers_update_tag(&ring, one.slot, &nothing, nullptr, 1));
  free_.push_back(one.slot);
}

void ring_buffers::make_table(io_uring& ring, reactor& owner) noexcept {
  try {
    free_.reserve(slots);
    registered_buffers::join(owner);
  } catch (const std::bad_alloc&) {
    return;
  }
  if (io_uring_register_buffers_sparse(&ring, slots) != 0) {
    registered_buffers::leave(owner);
    no_table_ = true;
    return;
  }
  has_table_ = true;
  for (std::uint16_t slot = slots; slot > 0; --slot) free_.push_back(slot - 1);
}

// Both lists are by address. What was refused is tried again: something else may have gone.
bool ring_buffers::follow(io_uring& ring) noexcept {
  std::vector<registered_buffers::buffer> now;
  std::vector<known> kept;
  std::uint64_t changes = 0;
  try {
    changes = registered_buffers::copy_to(now);
    kept.reserve(now.size());
  } catch (const std::bad_alloc&) {
    return false;
  }
  auto old = buffers_.begin();
  for (const registered_buffers::buffer& one : now) {
    for (; old != buffers_.end() && old->memory.begin < one.begin; ++old) let_go(*old, ring);
    std::uint16_t slot = unused;
    if (old != buffers_.end() && old->memory.serial == one.serial) {
      if (old->slot < slots) slot = old->slot;
      ++old;
    }
    kept.push_back({one, slot});
  }
  for (; old != buffers_.end(); ++old) let_go(*old, ring);
  buffers_ = std::move(kept);
  seen_ = changes;
  return true;
}

void ring_buffers::end(io_uring& ring, reactor& owner) noexcept {
  if (!std::exchange(has_table_, false)) return;
  registered_buffers::leave(owner);
  static_cast<void>(io_uring_unregister_buffers(&ring));
  no_table_ = true;
}

}  // namespace weir::detail
