#pragma once

#include <pthread.h>

#include <mutex>

#include "light_std.hpp"

namespace weir::detail {

/// std::condition_variable, for headers: <condition_variable> brings stop tokens and semaphores with it.
class condition {
 public:
  condition() noexcept;
  condition(const condition&) = delete;
  condition& operator=(const condition&) = delete;
  ~condition() { pthread_cond_destroy(&native_); }

  void notify_one() noexcept { pthread_cond_signal(&native_); }
  void notify_all() noexcept { pthread_cond_broadcast(&native_); }
  /// As std::condition_variable::wait(): may return without reason.
  void wait(std::unique_lock<std::mutex>& lock) noexcept;
  /// False when `longest` has passed.
  bool wait_for(std::unique_lock<std::mutex>& lock, std::chrono::nanoseconds longest) noexcept;

 private:
  pthread_cond_t native_;  // on the monotonic clock
};

}  // namespace weir::detail
