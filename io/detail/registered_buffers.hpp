#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace weir::detail {

class reactor;

/// The memory of the process's aligned_buffers that are to be registered with rings. Each ring follows this list with
/// one of its own (ring_buffers), so that a transfer takes no lock.
class registered_buffers {
 public:
  struct buffer {
    std::uintptr_t begin;
    std::uintptr_t end;
    std::uint64_t serial;  // tells apart those that stand at one place one after the other
  };
  registered_buffers() = delete;

  /// Throws std::bad_alloc.
  static void add(const void* begin, std::size_t size);
  /// No transfer with it may be under way. Rings let go of it before they do anything else with registered memory, or
  /// in their worker's next turn, for which it is woken.
  static void remove(const void* begin) noexcept;

  /// Raised when a buffer comes or goes; 0 while there never was one. Who was handed memory by another thread sees here
  /// what became of it before.
  [[nodiscard]] static std::uint64_t changes() noexcept { return changes_.load(std::memory_order_relaxed); }
  /// All of them, by address, and what changes() was then. Throws std::bad_alloc.
  static std::uint64_t copy_to(std::vector<buffer>& into);

  /// `ring` is woken when a buffer goes, until it leaves. Throws std::bad_alloc.
  static void join(reactor& ring);
  static void leave(reactor& ring) noexcept;

 private:
  static constinit std::atomic<std::uint64_t> changes_;
};

}  // namespace weir::detail
