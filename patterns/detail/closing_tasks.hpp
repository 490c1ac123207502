#pragma once

#include <atomic>
#include <utility>

#include "../../runtime/clock.hpp"
#include "../../runtime/detail/owned_tasks.hpp"
#include "../../runtime/task.hpp"
#include "../../sync/mutex.hpp"
#include "../shutdown_mode.hpp"

namespace weir::detail {

/// The tasks of an object, which can be shut down at any time, several times, and by several tasks at once.
class closing_tasks {
 public:
  template <class F, class... Args>
  bool spawn(F&& callable, Args&&... arguments) {
    return tasks_.spawn(std::forward<F>(callable), std::forward<Args>(arguments)...);
  }

  /// Takes no more tasks. With `drain` waits for them to end by themselves, but no longer than `limit`; then, or at
  /// once, stops them. Completes when all have ended: with true when none had to be stopped. Cancelled: stops waiting,
  /// and may be called again.
  task<bool> shutdown(shutdown_mode mode, duration limit);
  /// Takes no more tasks and stops those that there are. Does not wait.
  void cancel() noexcept;

 private:
  task<> join();

  owned_tasks tasks_;
  mutex joining_;
  std::atomic<bool> cancelled_{false};
};

}  // namespace weir::detail
