#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "config.hpp"
#include "record_heap.hpp"

namespace weir::detail {

/// Recycled memory for coroutine frames and records, one per worker, for its thread only. Blocks are sorted by size in
/// steps of 16 bytes; each class keeps at most `keep` bytes. What is beyond goes back to where the next ones come from:
/// the record heap, half of the class at a time, and for larger blocks the allocator. A block may be given back to
/// another worker's cache than it came from. Off under AddressSanitizer, which must see every free.
class frame_cache {
 public:
  frame_cache() = default;
  frame_cache(const frame_cache&) = delete;
  frame_cache& operator=(const frame_cache&) = delete;
  ~frame_cache();

  void* allocate(std::size_t size) {
    if (!WEIR_DETAIL_ASAN && size <= record_heap::largest) {
      size_class& c = classes_[heap_index(size)];
      if (void* const taken = take(c, heap_index(size) * step)) return taken;
      return refill(c, heap_index(size) * step);
    }
    return allocate_larger(size);
  }
  void release(void* memory, std::size_t size) noexcept {
    if (!WEIR_DETAIL_ASAN && size <= record_heap::largest) {
      size_class& c = classes_[heap_index(size)];
      if (!put(c, memory, heap_index(size) * step)) shrink(c, heap_index(size) * step, keep / 2);
    } else {
      release_larger(memory, size);
    }
  }

  /// For threads without a cache.
  static void* allocate_outside(std::size_t size);
  static void release_outside(void* memory, std::size_t size) noexcept;

 private:
  using block = record_heap::block;
  static constexpr std::size_t largest = 8192;
  static constexpr std::size_t keep = std::size_t{256} << 10;
  static constexpr std::size_t step = record_heap::step;
  static constexpr std::size_t heap_classes = record_heap::largest / step + 1;  // the first is of no size
  static constexpr std::size_t classes = heap_classes + (largest - record_heap::largest) / step + 1;

  static constexpr std::size_t heap_index(std::size_t size) noexcept { return (size + step - 1) / step; }
  // What is asked of the allocator fills glibc's chunks, which are multiples of 16 with 8 for its own use.
  static constexpr std::size_t chunk(std::size_t size) noexcept { return (size + 7) / 16 * 16 + 8; }
  static constexpr std::size_t chunk_index(std::size_t size) noexcept {
    return heap_classes + (chunk(size) - record_heap::largest) / step;
  }

  struct size_class {
    block* free = nullptr;
    std::size_t bytes = 0;  // in the list
    // What is left of a slab: its end is where the next block would not fit.
    std::byte* fresh = nullptr;
    std::byte* fresh_end = nullptr;
  };

  /// From the list of blocks of `whole` bytes; null when that is empty.
  static void* take(size_class& c, std::size_t whole) noexcept {
    block* const taken = c.free;
    if (!taken) return nullptr;
    c.free = taken->next;
    c.bytes -= whole;
    return taken;
  }
  /// False: that is more than the class keeps.
  static bool put(size_class& c, void* memory, std::size_t whole) noexcept {
    c.free = ::new (memory) block{c.free};
    c.bytes += whole;
    return c.bytes <= keep;
  }

  static void* refill(size_class& c, std::size_t whole);
  static void shrink(size_class& c, std::size_t whole, std::size_t bytes) noexcept;
  void* allocate_larger(std::size_t size);
  void release_larger(void* memory, std::size_t size) noexcept;

  std::array<size_class, classes> classes_{};
};

class runtime_core;

/// In builds with assertions: the coroutines that were made on workers of `runtime` and still exist, a line for each,
/// and how many those are. Otherwise nobody knows. Only when the runtime's workers are gone.
struct remaining_frames {
  std::size_t count = 0;
  std::string lines;
};
remaining_frames frames_left_by(const runtime_core& runtime);

}  // namespace weir::detail
