#include "support.hpp"

#include <cstddef>
#include <cstdlib>
#include <new>

#if !defined(TEST_SANITIZED)  // sanitizers bring operators of their own

namespace {

std::atomic<std::uint64_t> allocated{0};
std::atomic<std::uint64_t> freed{0};

void* allocate(std::size_t size, std::size_t alignment = alignof(std::max_align_t)) {
  allocated.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment)) return memory;
  throw std::bad_alloc();
}
void release(void* memory) noexcept {
  if (memory) freed.fetch_add(1, std::memory_order_relaxed);
  std::free(memory);
}

}  // namespace

void* operator new(std::size_t size) { return allocate(size); }
void* operator new[](std::size_t size) { return allocate(size); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return allocate(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { release(memory); }
void operator delete[](void* memory) noexcept { release(memory); }
void operator delete(void* memory, std::size_t) noexcept { release(memory); }
void operator delete[](void* memory, std::size_t) noexcept { release(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { release(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { release(memory); }

namespace test {

std::uint64_t allocations() noexcept { return allocated.load(std::memory_order_relaxed); }
std::uint64_t frees() noexcept { return freed.load(std::memory_order_relaxed); }

}  // namespace test

#else

namespace test {

std::uint64_t allocations() noexcept { return 0; }
std::uint64_t frees() noexcept { return 0; }

}  // namespace test

#endif
