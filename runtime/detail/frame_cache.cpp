#include "frame_cache.hpp"

#include <new>

#include "config.hpp"
#include "worker.hpp"

namespace weir::detail {

frame_cache::~frame_cache() {
  for (size_class& c : classes_) {
    while (c.free) {
      block* next = c.free->next;
      ::operator delete(c.free);
      c.free = next;
    }
  }
}

void* frame_cache::allocate(std::size_t size) {
  const std::size_t whole = rounded(size);
  if (WEIR_DETAIL_ASAN || whole > largest) return ::operator new(whole);
  size_class& c = classes_[whole / 16];
  if (!c.free) return ::operator new(whole);
  block* taken = c.free;
  c.free = taken->next;
  c.bytes -= whole;
  return taken;
}

void frame_cache::release(void* memory, std::size_t size) noexcept {
  const std::size_t whole = rounded(size);
  if (!WEIR_DETAIL_ASAN && whole <= largest) {
    size_class& c = classes_[whole / 16];
    if (c.bytes < keep) {
      c.free = ::new (memory) block{c.free};
      c.bytes += whole;
      return;
    }
  }
  ::operator delete(memory);
}

// A frame made outside of a worker is rounded up like the others, because a worker may recycle it.
void* promise_base::operator new(std::size_t size) {
  if (worker* here = current_worker()) return here->frames().allocate(size);
  return ::operator new(frame_cache::rounded(size));
}

void promise_base::operator delete(void* frame, std::size_t size) noexcept {
  if (worker* here = current_worker()) {
    here->frames().release(frame, size);
  } else {
    ::operator delete(frame);
  }
}

}  // namespace weir::detail
