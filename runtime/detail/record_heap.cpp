#include "record_heap.hpp"

#include <sys/mman.h>

#include <array>
#include <bit>
#include <mutex>
#include <new>

#include "fork.hpp"
#include "intrusive_list.hpp"
#include "spin_lock.hpp"

namespace weir::detail {

namespace {

using block = record_heap::block;

constexpr std::size_t slab_size = std::size_t{64} << 10;
constexpr std::size_t region_size = std::size_t{2} << 20;
constexpr std::size_t header_size = 128;
constexpr std::uint32_t whole_region = ~std::uint32_t{0};
static_assert(region_size / slab_size == 32, "a bit of a word for each slab");

/// Stands at the beginning of its own memory. In the list of its size while the heap has a block of it.
struct slab : list_hook {
  block* free = nullptr;
  std::byte* fresh = nullptr;  // what is from here on was never used
  std::uint32_t size;
  std::uint32_t capacity;
  std::uint32_t out = 0;  // blocks that are not the heap's

  explicit slab(std::uint32_t block_size) noexcept
      : fresh(begin()),
        size(block_size),
        capacity(static_cast<std::uint32_t>((slab_size - header_size) / block_size)) {}
  [[nodiscard]] std::byte* begin() noexcept { return reinterpret_cast<std::byte*>(this) + header_size; }
  [[nodiscard]] std::byte* end() noexcept { return begin() + std::size_t{capacity} * size; }
};

/// Stands in the first slab's memory, behind that slab's header. In the list of regions while one of its slabs is free.
struct region : list_hook {
  std::uint32_t free_slabs = whole_region;
};
constexpr std::size_t region_at = 64;
static_assert(sizeof(slab) <= region_at && region_at + sizeof(region) <= header_size);

template <class T>
T* at(const void* address, std::size_t alignment, std::size_t offset = 0) noexcept {
  // NOLINTNEXTLINE(performance-no-int-to-ptr)
  return reinterpret_cast<T*>((reinterpret_cast<std::uintptr_t>(address) & ~(alignment - 1)) + offset);
}
slab& slab_of(const void* inside) noexcept { return *at<slab>(inside, slab_size); }
region& region_of(const void* inside) noexcept { return *at<region>(inside, region_size, region_at); }

constinit spin_lock heap_lock;
spin_lock& the_heap_lock() noexcept { return heap_lock; }
// All of this is guarded by it.
struct heap_state {
  std::array<intrusive_list<slab>, record_heap::largest / record_heap::step + 1> with_blocks;
  intrusive_list<region> with_slabs;  // those that are free as a whole at the end
  std::size_t whole_regions = 0;
  record_heap::figures counted;
};

heap_state& state() noexcept {
  alignas(heap_state) static std::array<std::byte, sizeof(heap_state)> memory;
  static heap_state* const made = ::new (memory.data()) heap_state;
  return *made;
}

/// Beyond this many regions a process has so many tasks that it is better off with huge pages.
constexpr std::size_t small_paged_regions = 4;

/// Aligned to its size, with its beginning touched; null without memory. Without the lock: what the kernel clears here,
/// others need not wait for.
std::byte* map_region(bool huge_pages) noexcept {
  static const int watched = record_heap::watch_forks();
  if (watched != 0) return nullptr;
  void* const mapped =
      mmap(nullptr, 2 * region_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  auto* const begin = static_cast<std::byte*>(mapped);
  auto* const aligned = at<std::byte>(begin + region_size - 1, region_size);
  if (aligned != begin) munmap(begin, static_cast<std::size_t>(aligned - begin));
  const auto behind = static_cast<std::size_t>(begin + 2 * region_size - (aligned + region_size));
  if (behind != 0) munmap(aligned + region_size, behind);
  if (huge_pages) madvise(aligned, region_size, MADV_HUGEPAGE);
  ::new (aligned + region_at) region;
  return aligned;
}

void unmap(intrusive_list<region>& surplus) noexcept {
  while (!surplus.empty()) munmap(at<std::byte>(&surplus.pop_front(), region_size), region_size);
}

slab& add_slab(heap_state& heap, std::size_t size) noexcept {
  region& from = heap.with_slabs.front();
  if (from.free_slabs == whole_region) --heap.whole_regions;
  const int index = std::countr_zero(from.free_slabs);
  from.free_slabs &= from.free_slabs - 1;
  if (from.free_slabs == 0) from.unlink();
  return *::new (at<std::byte>(&from, region_size) + static_cast<std::size_t>(index) * slab_size)
      slab(static_cast<std::uint32_t>(size));
}

/// What is not needed any more of the heap's regions goes to `surplus`.
void drop_slab(heap_state& heap, slab& empty, intrusive_list<region>& surplus) noexcept {
  region& home = region_of(&empty);
  std::byte* const memory = at<std::byte>(&home, region_size);
  const auto index = static_cast<std::size_t>(reinterpret_cast<std::byte*>(&empty) - memory) / slab_size;
  home.free_slabs |= std::uint32_t{1} << index;
  if (home.free_slabs != whole_region) {
    if (std::has_single_bit(home.free_slabs)) heap.with_slabs.push_front(home);
    return;
  }
  home.unlink();
  heap.with_slabs.push_back(home);
  ++heap.whole_regions;
  // Some stay, for the next burst.
  while (heap.whole_regions > 1 + (heap.counted.regions - heap.whole_regions) / 4) {
    region& last = heap.with_slabs.back();
    last.unlink();
    surplus.push_back(last);
    --heap.whole_regions;
    --heap.counted.regions;
  }
}

/// A slab with a block of this size, in the list. Under the lock, which it gives back while it asks the kernel. Throws
/// std::bad_alloc.
slab& find_slab(heap_state& heap, std::size_t size, std::unique_lock<spin_lock>& guard) {
  intrusive_list<slab>& list = heap.with_blocks[size / record_heap::step];
  if (!list.empty()) return list.front();
  if (heap.with_slabs.empty()) {
    const bool huge_pages = heap.counted.regions >= small_paged_regions;
    guard.unlock();
    std::byte* const memory = map_region(huge_pages);
    if (!memory) throw std::bad_alloc();
    guard.lock();
    ++heap.counted.regions;
    ++heap.whole_regions;
    heap.with_slabs.push_front(*at<region>(memory, region_size, region_at));
  }
  slab& added = add_slab(heap, size);
  list.push_front(added);
  return added;
}

/// `count` blocks have come back to `home`.
void settle(heap_state& heap, slab& home, std::uint32_t count, intrusive_list<region>& surplus) noexcept {
  intrusive_list<slab>& list = heap.with_blocks[home.size / record_heap::step];
  heap.counted.blocks_out -= count;
  if (home.out == home.capacity) list.push_front(home);
  home.out -= count;
  if (home.out != 0) return;
  home.unlink();
  drop_slab(heap, home, surplus);
}

}  // namespace

void* record_heap::allocate(std::size_t size) {
  std::unique_lock guard(heap_lock);
  heap_state& heap = state();
  ++heap.counted.visits;
  slab& from = find_slab(heap, size, guard);
  void* taken = from.free;
  if (from.free) {
    from.free = from.free->next;
  } else {
    taken = from.fresh;
    from.fresh += size;
  }
  ++heap.counted.blocks_out;
  if (++from.out == from.capacity) from.unlink();
  return taken;
}

void record_heap::release(void* memory) noexcept { give_back(::new (memory) block{nullptr}, 1); }

record_heap::supply record_heap::take(std::size_t size) {
  std::unique_lock guard(heap_lock);
  heap_state& heap = state();
  ++heap.counted.visits;
  slab& from = find_slab(heap, size, guard);
  const std::uint32_t count = from.capacity - from.out;
  const supply taken{.free = from.free,
                     .fresh = from.fresh,
                     .fresh_end = from.end(),
                     .count = count - static_cast<std::size_t>(from.end() - from.fresh) / size};
  heap.counted.blocks_out += count;
  from.free = nullptr;
  from.fresh = from.end();
  from.out = from.capacity;
  from.unlink();
  return taken;
}

record_heap::block* record_heap::give_back(block* list, std::size_t count) noexcept {
  // What comes from one slab in a row is one chain. Chains are found without the lock, a few at a time.
  struct chain {
    block* first;
    block* last;
    std::uint32_t count;
  };
  std::array<chain, 16> chains;
  intrusive_list<region> surplus;
  while (list && count != 0) {
    std::size_t found = 0;
    for (; list && count != 0 && found != chains.size(); ++found) {
      const slab& home = slab_of(list);
      chain& next = chains[found];
      next = {.first = list, .last = list, .count = 1};
      while (--count != 0 && next.last->next && &slab_of(next.last->next) == &home) {
        next.last = next.last->next;
        ++next.count;
      }
      list = next.last->next;
    }
    const std::lock_guard guard(heap_lock);
    heap_state& heap = state();
    ++heap.counted.visits;
    for (std::size_t i = 0; i < found; ++i) {
      slab& home = slab_of(chains[i].first);
      chains[i].last->next = home.free;
      home.free = chains[i].first;
      settle(heap, home, chains[i].count, surplus);
    }
  }
  unmap(surplus);
  return list;
}

void record_heap::give_back_fresh(std::byte* begin, std::byte* end) noexcept {
  if (begin == end) return;
  intrusive_list<region> surplus;
  {
    const std::lock_guard guard(heap_lock);
    heap_state& heap = state();
    ++heap.counted.visits;
    slab& home = slab_of(begin);
    home.fresh = begin;
    settle(heap, home, static_cast<std::uint32_t>(static_cast<std::size_t>(end - begin) / home.size), surplus);
  }
  unmap(surplus);
}

record_heap::figures record_heap::counted() noexcept {
  const std::lock_guard guard(heap_lock);
  return state().counted;
}

int record_heap::watch_forks() noexcept { return hold_across_forks<the_heap_lock>(); }

}  // namespace weir::detail
