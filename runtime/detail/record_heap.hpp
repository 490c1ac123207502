#pragma once

#include <cstddef>
#include <cstdint>

namespace weir::detail {

/// The memory of frames and records of up to `largest` bytes, one heap for the process. Blocks of one size stand side
/// by side in slabs, without headers; slabs are cut from regions that come from the kernel and go back to it when
/// nothing of them is left. Workers do not come here for a block: their caches take what a slab has in one go, and
/// bring back chains of blocks. After Bonwick, "The Slab Allocator" (1994), and Bonwick and Adams, "Magazines and Vmem"
/// (2001).
///
/// Any thread; one lock, which a fork waits for. Never destroyed: records may outlive every static object.
class record_heap {
 public:
  static constexpr std::size_t step = 16;
  static constexpr std::size_t largest = 1024;

  struct block {
    block* next;
  };
  /// Blocks of one size: a list of free ones, and a range that was never used.
  struct supply {
    block* free = nullptr;
    std::byte* fresh = nullptr;
    std::byte* fresh_end = nullptr;
    std::size_t count = 0;  // of those in the list
  };

  /// A block of `size` bytes, a multiple of `step`. Throws std::bad_alloc.
  static void* allocate(std::size_t size);
  static void release(void* memory) noexcept;

  /// All that one slab has of this size. Throws std::bad_alloc.
  static supply take(std::size_t size);
  /// Up to `count` blocks from the front of a list, which are the heap's again. Returns the rest of the list.
  static block* give_back(block* list, std::size_t count) noexcept;
  /// What was not used of a supply's range.
  static void give_back_fresh(std::byte* begin, std::byte* end) noexcept;

  struct figures {
    std::uint64_t blocks_out = 0;  // in use, or in a worker's cache
    std::uint64_t visits = 0;      // calls of all of the above
    std::uint64_t regions = 0;
  };
  static figures counted() noexcept;

  /// From then on a fork finds the heap whole. To be called before any other handler of forks is registered that uses
  /// the heap in the child. Returns what pthread_atfork does.
  static int watch_forks() noexcept;
};

}  // namespace weir::detail
