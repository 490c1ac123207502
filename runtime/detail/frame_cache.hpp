#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "config.hpp"
#include "record_heap.hpp"

namespace weir::detail {

/// Recycled memory for coroutine frames and records, one per worker, for its thread only. Blocks are sorted by size in
/// steps of 16 bytes; each class keeps at most `keep` bytes. Beyond that half of them go back to where the next ones
/// come from: the record heap, and for larger blocks the allocator. A block may be given back to another worker's cache
/// than it came from. Off under AddressSanitizer, which must see every free.
class frame_cache {
 public:
  frame_cache() = default;
  frame_cache(const frame_cache&) = delete;
  frame_cache& operator=(const frame_cache&) = delete;
  ~frame_cache();

  void* allocate(std::size_t size) {
    const std::size_t index = index_of(size);
    if (WEIR_DETAIL_ASAN || index >= classes) return allocate_large(size);
    size_class& c = classes_[index];
    if (block* const taken = c.free) {
      c.free = taken->next;
      c.bytes -= whole_of(index);
      return taken;
    }
    return refill(c, index);
  }
  void release(void* memory, std::size_t size) noexcept {
    const std::size_t index = index_of(size);
    if (WEIR_DETAIL_ASAN || index >= classes) return release_large(memory);
    size_class& c = classes_[index];
    c.free = ::new (memory) block{c.free};
    c.bytes += whole_of(index);
    if (c.bytes > keep) shrink(c, index, keep / 2);
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
  static constexpr std::size_t classes = heap_classes + (largest - record_heap::largest) / step;

  static constexpr bool in_heap(std::size_t index) noexcept { return index < heap_classes; }
  static constexpr std::size_t index_of(std::size_t size) noexcept {
    return size <= record_heap::largest ? (size + step - 1) / step : (size + step / 2 - 1) / step + 1;
  }
  /// What is asked for. Of the allocator blocks that fill glibc's chunks, which are multiples of 16 with 8 for its own
  /// use.
  static constexpr std::size_t whole_of(std::size_t index) noexcept {
    return in_heap(index) ? index * step : (index - 1) * step + step / 2;
  }

  struct size_class {
    block* free = nullptr;
    std::size_t bytes = 0;  // in the list
    // What is left of a slab: its end is where the next block would not fit.
    std::byte* fresh = nullptr;
    std::byte* fresh_end = nullptr;
  };

  static void* allocate_large(std::size_t size);
  static void release_large(void* memory) noexcept;
  void* refill(size_class& c, std::size_t index);
  static void shrink(size_class& c, std::size_t index, std::size_t bytes) noexcept;

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
