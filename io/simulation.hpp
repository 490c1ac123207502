#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "../runtime/runtime.hpp"
#include "simulation_options.hpp"

namespace weir {

namespace detail {
class simulated_kernel;
}  // namespace detail

/// A runtime for tests: one worker on the calling thread, a virtual clock that starts at zero and jumps when every task
/// waits, a network and files in memory, and a seed that decides whatever could go one way or another: who runs next,
/// how long a packet travels, what fails. Nothing in it depends on the real clock, on addresses or on thread ids, so a
/// seed repeats its run; offload runs its function on the spot.
///
///     weir::simulation world({.seed = 7, .network = {.latency = 5ms, .reset = 0.01}});
///     world.run(my_server_and_its_clients());
///
/// Code needs no change: sockets of TCP, UDP and unix, file::open and signal_set make simulated ones when they are
/// called inside of run(). Descriptors that were made outside are refused with std::errc::not_supported. Other threads
/// must keep out: a spawn, wake-up or cancellation by one of them ends the program with a sentence.
///
/// When every task waits, nothing is under way and no timer is left, everything is cancelled (cause: deadlock), joined,
/// and run() throws `deadlock`, whose what() names each task, its chain of awaits and what it waits for.
///
/// To be made, used and destroyed by one thread. At most 2000 at once in a process.
class simulation {
 public:
  explicit simulation(simulation_options options = {});

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

  /// How the network and the files behave from now on: may be changed inside of run(), to break and to heal them.
  [[nodiscard]] simulated_network& network() noexcept;
  [[nodiscard]] simulated_files& files() noexcept;
  /// Every signal_set of this simulation that watches `signal` gets it. The process does not.
  void raise(int signal);

  [[nodiscard]] std::uint64_t seed() const noexcept { return seed_; }
  /// Virtual time.
  [[nodiscard]] time_point now() const noexcept;
  /// A hash over every choice of a task, jump of the clock, arrival and completion so far: equal when two runs went the
  /// same way.
  [[nodiscard]] std::uint64_t trace_hash() const noexcept;
  /// How many sockets, files and signal sets are open.
  [[nodiscard]] std::size_t open_descriptors() const noexcept;

 private:
  std::uint64_t seed_;
  runtime runtime_;
  detail::simulated_kernel& kernel_;
};

}  // namespace weir
