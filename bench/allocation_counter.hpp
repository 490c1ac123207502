#pragma once
// How often the program has asked for memory: a program that links allocation_counter.cpp has its operator new
// replaced by one that counts.

#include <cstdint>

namespace bench {

/// Calls of any operator new so far, by all threads.
std::uint64_t allocations() noexcept;

}  // namespace bench
