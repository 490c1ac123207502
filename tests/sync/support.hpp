#pragma once

#include "../runtime/support.hpp"

#include <cstdint>
#include <random>

namespace test {

/// Allocations by operator new so far, on all threads; always 0 under sanitizers.
std::uint64_t allocations() noexcept;

/// Numbers that depend on the seed only, on every platform.
class dice {
 public:
  explicit dice(std::uint64_t seed) : engine_(seed) {}
  /// 0 to sides - 1.
  unsigned roll(unsigned sides) { return static_cast<unsigned>(engine_() % sides); }

 private:
  std::mt19937_64 engine_;
};

/// In a simulation: when it completes, everything that could run has run.
inline auto settle() { return weir::sleep_for(1ns); }

/// Calls `body(group)`, which is no coroutine, and joins what it has spawned.
template <class F>
weir::task<> together(F& body) {
  auto spawns = [&body](weir::task_group& group) -> weir::task<> {
    body(group);
    co_await group.join();
  };
  co_await weir::with_task_group(spawns);
}

}  // namespace test
