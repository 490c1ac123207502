#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace weir::detail {

/// Recycled memory for coroutine frames, one per worker, for its thread only. Blocks are sorted by size in steps of 16
/// bytes; each class keeps at most `keep` bytes, what is beyond goes back to the allocator. A block may be given back
/// to another worker's cache than it came from. Off under AddressSanitizer, which must see every free.
class frame_cache {
 public:
  frame_cache() = default;
  frame_cache(const frame_cache&) = delete;
  frame_cache& operator=(const frame_cache&) = delete;
  ~frame_cache();

  /// What is asked of the allocator for a block of `size`: glibc's chunks are multiples of 16 with 8 for its own use.
  static constexpr std::size_t rounded(std::size_t size) noexcept { return (size + 7) / 16 * 16 + 8; }

  void* allocate(std::size_t size);
  void release(void* memory, std::size_t size) noexcept;

 private:
  static constexpr std::size_t largest = 8192;
  static constexpr std::size_t keep = std::size_t{256} << 10;

  struct block {
    block* next;
  };
  struct size_class {
    block* free = nullptr;
    std::size_t bytes = 0;
  };
  std::array<size_class, largest / 16 + 1> classes_{};
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
