#pragma once

#include "../runtime/support.hpp"

#include <cstdint>
#include <random>

namespace test {

/// Allocations by operator new so far, on all threads, and how many were freed; always 0 under sanitizers.
std::uint64_t allocations() noexcept;
std::uint64_t frees() noexcept;

/// Numbers that depend on the seed only, on every platform.
class dice {
 public:
  explicit dice(std::uint64_t seed) : engine_(seed) {}
  /// 0 to sides - 1.
  unsigned roll(unsigned sides) { return static_cast<unsigned>(engine_() % sides); }

 private:
  std::mt19937_64 engine_;
};

/// In a simulation: so long after its beginning.
constexpr weir::time_point at(weir::duration since_start) { return weir::time_point() + since_start; }

/// In a simulation: how long it has run.
inline weir::duration elapsed() { return weir::now().time_since_epoch(); }

/// In a simulation: when it completes, everything that could run has run.
inline auto settle() { return weir::sleep_for(1ns); }

/// What a fragile item throws.
struct broken : std::exception {
  [[nodiscard]] const char* what() const noexcept override { return "broken"; }
};

/// An item whose moves and copies can be made to throw. One that was moved from has the value -1.
class fragile {
 public:
  explicit fragile(int v) : value(v) { ++alive; }
  fragile(const fragile& other) : value(other.value) { made(); }
  fragile(fragile&& other) noexcept(false) : value(other.value) {
    made();
    other.value = -1;
  }
  fragile& operator=(const fragile&) = delete;
  ~fragile() { --alive; }

  /// The `nth` move or copy from now on throws, and has no effect; 0 for none.
  static void break_move(int nth) noexcept { until_broken = nth; }
  /// How many moves and copies are left until then.
  static inline std::atomic<int> until_broken{0};
  static inline std::atomic<int> alive{0};

  int value;

 private:
  static void made() {
    if (until_broken != 0 && --until_broken == 0) throw broken();
    ++alive;
  }
};

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
