#include "condition.hpp"

#include <cerrno>
#include <ctime>

namespace weir::detail {

condition::condition() noexcept {
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&native_, &attributes);
  pthread_condattr_destroy(&attributes);
}

void condition::wait(std::unique_lock<std::mutex>& lock) noexcept {
  pthread_cond_wait(&native_, lock.mutex()->native_handle());
}

bool condition::wait_for(std::unique_lock<std::mutex>& lock, std::chrono::nanoseconds longest) noexcept {
  // libstdc++'s steady clock is CLOCK_MONOTONIC.
  const auto due = (std::chrono::steady_clock::now() + longest).time_since_epoch();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(due);
  timespec until{};
  until.tv_sec = seconds.count();
  until.tv_nsec = std::chrono::nanoseconds(due - seconds).count();
  return pthread_cond_timedwait(&native_, lock.mutex()->native_handle(), &until) != ETIMEDOUT;
}

}  // namespace weir::detail
