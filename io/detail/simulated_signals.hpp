#pragma once

#include <span>
#include <vector>

#include "signal_watch.hpp"

namespace weir::detail {

class simulated_kernel;

/// The signals of a simulation: they come from simulation::raise, and only to the sets that were made there.
class simulated_signals {
 public:
  explicit simulated_signals(simulated_kernel& kernel) noexcept : kernel_(kernel) {}

  /// The number that stands for the eventfd of a set.
  int make();
  /// The entries of the set of that number. They are there until unwatch().
  void watch(int number, std::span<signal_watch::entry> entries);
  void unwatch(int number) noexcept { watch(number, {}); }
  /// As a read of the eventfd: the permit to take one signal, or -EAGAIN.
  int take(int number);

  void raise(int signal);

 private:
  class event_count;

  simulated_kernel& kernel_;
  std::vector<event_count*> all_;
};

}  // namespace weir::detail
