#pragma once

#include <atomic>
#include <cstddef>
#include <thread>

namespace weir::detail {

class runtime_core;

/// Writes the tasks of a runtime to stderr each time that a signal comes: runtime_options::dump_signal. The handler
/// only posts a semaphore. A thread of its own makes the report, because in a program that hangs no worker may be free
/// to do so.
class dump_signal {
 public:
  /// Throws std::invalid_argument with a sentence.
  static void check(int signal);

  /// `signal` has been checked. Throws std::system_error when there is no thread to be had.
  dump_signal(int signal, runtime_core& core);
  dump_signal(const dump_signal&) = delete;
  dump_signal& operator=(const dump_signal&) = delete;
  /// Puts the signal's disposition back when no other runtime wants it. Waits for a report that is being made.
  ~dump_signal();

 private:
  void serve() noexcept;

  const int signal_;
  runtime_core& core_;
  std::size_t place_ = 0;  // among those that the handler knows
  std::atomic<bool> ending_{false};
  std::thread thread_;
};

}  // namespace weir::detail
