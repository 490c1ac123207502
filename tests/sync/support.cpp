#include "support.hpp"

#include <cstdlib>
#include <new>

#include "../runtime/support.cpp"  // each room's tests are a program of their own

#if !defined(TEST_SANITIZED)  // sanitizers bring operators of their own

namespace {

std::atomic<std::uint64_t> count{0};

void* allocate(std::size_t size) {
  count.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t size) { return allocate(size); }
void* operator new[](std::size_t size) { return allocate(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

namespace test {

std::uint64_t allocations() noexcept { return count.load(std::memory_order_relaxed); }

}  // namespace test

#else

namespace test {

std::uint64_t allocations() noexcept { return 0; }

}  // namespace test

#endif
