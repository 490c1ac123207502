#pragma once

#include <cstdint>
#include <type_traits>

#include "../runtime/runtime.hpp"

namespace weir {

struct simulation_options {
  /// Decides who runs next among ready tasks. The same seed gives the same run.
  std::uint64_t seed = 0;
};
static_assert(std::is_trivially_destructible_v<simulation_options>);

/// A runtime for tests: one worker on the calling thread, a virtual clock that starts at zero and jumps to the next
/// timer when every task waits, and a seed that picks among ready tasks. Nothing in it depends on the real clock, on
/// addresses or on thread ids, so a seed repeats its run; offload runs its function on the spot.
///
/// When every task waits and no timer is left, everything is cancelled (cause: deadlock), joined, and run() throws
/// `deadlock`, whose what() names each task, its chain of awaits and what it waits for.
///
/// Operations on real descriptors fail with std::errc::not_supported.
class simulation {
 public:
  explicit simulation(simulation_options options = {})
      : runtime_(runtime_access::make({}, {.enabled = true, .seed = options.seed})) {}

  /// Runs `main` to its end; returns its value or throws its exception. May be called again: time goes on.
  template <class T>
  T run(task<T> main) {
    try {
      return runtime_.block_on(std::move(main));
    } catch (const cancelled& e) {
      if (e.cause() == cancellation_cause::deadlock) throw deadlock(runtime_.deadlock_report());
      throw;
    }
  }

 private:
  runtime runtime_;
};

}  // namespace weir
