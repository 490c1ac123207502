#include "frame_cache.hpp"

#include <fmt/format.h>

#include <cstddef>
#include <iterator>
#include <mutex>
#include <new>

#include "config.hpp"
#include "fork.hpp"
#include "worker.hpp"

namespace weir::detail {

frame_cache::~frame_cache() {
  for (std::size_t index = 1; index != heap_classes; ++index) {
    size_class& c = classes_[index];
    shrink(c, index * step, 0);
    record_heap::give_back_fresh(c.fresh, c.fresh_end);
  }
  for (std::size_t index = heap_classes; index != classes; ++index) {
    size_class& c = classes_[index];
    while (void* const memory = take(c, 0)) ::operator delete(memory);
  }
}

void* frame_cache::refill(size_class& c, std::size_t whole) {
  if (c.fresh == c.fresh_end) {
    const record_heap::supply more = record_heap::take(whole);
    c.fresh = more.fresh;
    c.fresh_end = more.fresh_end;
    if (more.free) {
      c.free = more.free;
      c.bytes = more.count * whole;
      return take(c, whole);
    }
  }
  void* const taken = c.fresh;
  c.fresh += whole;
  return taken;
}

void frame_cache::shrink(size_class& c, std::size_t whole, std::size_t bytes) noexcept {
  const std::size_t surplus = (c.bytes - bytes) / whole;
  c.bytes -= surplus * whole;
  c.free = record_heap::give_back(c.free, surplus);
}

void* frame_cache::allocate_larger(std::size_t size) {
  if (WEIR_DETAIL_ASAN || size > largest) return ::operator new(size);
  void* const taken = take(classes_[chunk_index(size)], chunk(size));
  return taken ? taken : ::operator new(chunk(size));
}

void frame_cache::release_larger(void* memory, std::size_t size) noexcept {
  if (!WEIR_DETAIL_ASAN && size <= largest) {
    size_class& c = classes_[chunk_index(size)];
    if (c.bytes < keep) {
      put(c, memory, chunk(size));
      return;
    }
  }
  ::operator delete(memory);
}

// What is made outside of a worker is rounded up like the rest, because a worker may recycle it.
void* frame_cache::allocate_outside(std::size_t size) {
  if (WEIR_DETAIL_ASAN || size > largest) return ::operator new(size);
  return size <= record_heap::largest ? record_heap::allocate(heap_index(size) * step) : ::operator new(chunk(size));
}

void frame_cache::release_outside(void* memory, std::size_t size) noexcept {
  if (!WEIR_DETAIL_ASAN && size <= record_heap::largest) {
    record_heap::release(memory);
  } else {
    ::operator delete(memory);
  }
}

void* allocate_record(std::size_t size) {
  if (worker* here = this_worker) return here->frames().allocate(size);
  return frame_cache::allocate_outside(size);
}

void release_record(void* record, std::size_t size) noexcept {
  if (worker* here = this_worker) {
    here->frames().release(record, size);
  } else {
    frame_cache::release_outside(record, size);
  }
}

#if defined(NDEBUG)

void* promise_base::operator new(std::size_t size) { return allocate_record(size); }
void promise_base::operator delete(void* frame, std::size_t size) noexcept { release_record(frame, size); }

remaining_frames frames_left_by(const runtime_core&) { return {}; }

#else

namespace {

/// Stands before each frame. The links are complements of addresses, so that a leak checker does not take a frame that
/// nobody holds for one that this list holds.
struct alignas(16) frame_header {
  std::uintptr_t next;
  std::uintptr_t previous;
  const runtime_core* made_in;  // null: outside of workers
};

std::uintptr_t hidden(const frame_header* header) noexcept { return ~reinterpret_cast<std::uintptr_t>(header); }
frame_header* shown(std::uintptr_t link) noexcept {
  return reinterpret_cast<frame_header*>(~link);  // NOLINT(performance-no-int-to-ptr)
}

spin_lock& registry_lock() noexcept {
  static constinit spin_lock lock;
  static_cast<void>(hold_across_forks<registry_lock>());
  return lock;
}
constinit std::uintptr_t first_frame = ~std::uintptr_t{0};  // guarded by registry_lock()

}  // namespace

void* promise_base::operator new(std::size_t size) {
  void* const memory = allocate_record(size + sizeof(frame_header));
  const worker* const here = this_worker;
  const std::lock_guard guard(registry_lock());
  auto* const header = ::new (memory) frame_header{first_frame, hidden(nullptr), here ? &here->core() : nullptr};
  if (frame_header* const second = shown(first_frame)) second->previous = hidden(header);
  first_frame = hidden(header);
  return header + 1;
}

void promise_base::operator delete(void* frame, std::size_t size) noexcept {
  auto* const header = static_cast<frame_header*>(frame) - 1;
  {
    const std::lock_guard guard(registry_lock());
    frame_header* const before = shown(header->previous);
    frame_header* const behind = shown(header->next);
    if (behind) behind->previous = header->previous;
    (before ? before->next : first_frame) = header->next;
  }
  release_record(header, size + sizeof(frame_header));
}

remaining_frames frames_left_by(const runtime_core& runtime) {
  remaining_frames left;
  const std::lock_guard guard(registry_lock());
  for (const frame_header* header = shown(first_frame); header; header = shown(header->next)) {
    if (header->made_in != &runtime) continue;
    ++left.count;
    // A frame begins with two function pointers, then comes the promise.
    const auto* const promise =
        reinterpret_cast<const promise_base*>(reinterpret_cast<const std::byte*>(header + 1) + 2 * sizeof(void*));
    const std::source_location& at = promise->awaiting_at;
    fmt::format_to(std::back_inserter(left.lines), "  {}: {} at {}:{}\n",
                   promise->env ? "suspended, it awaited last in" : "never awaited", at.function_name(), at.file_name(),
                   at.line());
  }
  return left;
}

#endif

}  // namespace weir::detail
