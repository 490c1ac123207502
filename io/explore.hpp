#pragma once

#include <concepts>
#include <cstdint>
#include <exception>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "../runtime/detail/function.hpp"
#include "../runtime/detail/invoke.hpp"
#include "simulation.hpp"

namespace weir {

/// Thrown by explore() for the first seed that failed. what() names the seed and says what the program threw.
class exploration_failure : public std::runtime_error {
 public:
  exploration_failure(std::uint64_t seed, std::exception_ptr cause);
  [[nodiscard]] std::uint64_t seed() const noexcept { return seed_; }
  /// What the program threw.
  [[nodiscard]] const std::exception_ptr& cause() const noexcept { return cause_; }

 private:
  std::uint64_t seed_;
  std::exception_ptr cause_;
};

/// What explore() did.
struct exploration {
  std::uint64_t runs = 0;
  /// How many of them went differently: of their trace hashes.
  std::uint64_t schedules = 0;
  /// Virtual time of all runs together.
  duration elapsed{};
};

namespace detail {

exploration explore_seeds(std::uint64_t seeds, weir::simulation_options options,
                          const std::function<void(simulation&)>& run_program);

}  // namespace detail

/// Runs a program under many schedules: `program()` returns a task, a fresh one for each of `seeds` seeds, which runs
/// in a simulation of its own. The program may take the simulation, to change its faults or to look at its seed.
///
///     weir::explore(10'000, [] { return clients_and_server(); }, {.network = {.partial = 0.1, .reset = 0.01}});
///
/// The first seed that fails (with an exception, `deadlock` among them) is written to stderr, and rethrown as
/// exploration_failure. To go through that run again: set `WEIR_SEED=<seed>` in the environment, and only that seed
/// runs; or make a simulation with it. Seeds begin with options.seed. What ends the program instead of throwing, such
/// as a failed assertion of the library, names the seed as well.
///
/// `program` is called on the calling thread, outside of the simulation; what it captures must outlive its task.
template <class F>
  requires std::invocable<F&> || std::invocable<F&, simulation&>
exploration explore(std::uint64_t seeds, F program, simulation_options options = {}) {
  return detail::explore_seeds(seeds, options, [&program](simulation& world) {
    if constexpr (std::invocable<F&, simulation&>) {
      static_assert(detail::is_task<std::invoke_result_t<F&, simulation&>>, "explore: the program must return a task");
      static_cast<void>(world.run(detail::invoke(program, world)));
    } else {
      static_assert(detail::is_task<std::invoke_result_t<F&>>, "explore: the program must return a task");
      static_cast<void>(world.run(detail::invoke(program)));
    }
  });
}

}  // namespace weir
