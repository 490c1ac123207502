#pragma once

#include <initializer_list>
#include <memory>

#include "detail/descriptor.hpp"
#include "operations/wait_signal.hpp"

namespace weir {

/// Signals to wait for instead of being ended by them.
///
///     weir::signal_set signals{SIGINT, SIGTERM};
///     int which = co_await signals.wait();
///
/// From its construction on, signals that come are counted until they are waited for. Several sets may watch the same
/// signal: each is told. The process's disposition of a signal is replaced by the first set that watches it and put
/// back when the last one is gone. Signals must not be blocked in all threads of the program; weir's own threads block
/// them and leave them to the others, so std::raise() on a worker reaches nobody: use kill(getpid(), ...).
class signal_set {
 public:
  /// Throws std::system_error: "signal_set: SIGKILL cannot be caught". Inside or outside of a task. Allocates.
  signal_set(std::initializer_list<int> signals);
  signal_set(signal_set&& other) noexcept = default;
  signal_set& operator=(signal_set&& other) noexcept;
  /// Whoever still waits gets std::errc::operation_canceled. Signals that nobody has waited for are dropped.
  ~signal_set();

  /// Completes with the number of a signal that has come; at once when one came before. Each signal completes one wait,
  /// as many as the kernel has delivered (it merges those that come while one of the same number is pending); signals
  /// of different numbers in no particular order. Several tasks may wait. Cancelled: no signal is used up. Allocates
  /// nothing.
  [[nodiscard]] auto wait() noexcept { return detail::wait_signal_operation(events_.get(), watch_); }

 private:
  void stop() noexcept;

  std::shared_ptr<detail::signal_watch> watch_;  // operations share it
  detail::descriptor_handle events_;
};

}  // namespace weir
