#pragma once

#include <atomic>
#include <cstdint>

namespace weir::detail {

/// A lock for sections of a few instructions. Yields the processor when the holder seems to be preempted.
/// Satisfies Lockable. One locked instruction per lock/unlock pair.
class spin_lock {
 public:
  void lock() noexcept {
    if (held_.exchange(1, std::memory_order_acquire) != 0) lock_slow();
  }
  bool try_lock() noexcept { return held_.exchange(1, std::memory_order_acquire) == 0; }
  void unlock() noexcept { held_.store(0, std::memory_order_release); }

 private:
  void lock_slow() noexcept;
  std::atomic<std::uint8_t> held_{0};
};

/// One step of waiting for another thread's short section: longer each time, and then by sched_yield.
///
/// Two threads that want one lock without a pause should not take turns with each section: the lock, and all that it
/// guards, would go from cache to cache each time. So the first wait is already as long as some ten sections, in which
/// who has the lock takes it again and again, with everything in its own cache. (Exponential backoff: Anderson, "The
/// Performance of Spin Lock Alternatives for Shared-Memory Multiprocessors", 1990.)
class backoff {
 public:
  void pause() noexcept;

 private:
  unsigned spins_ = 8;
};

/// Takes `lock` only when `needed`: state that one thread owns is touched without locked instructions.
template <class Lock>
class optional_guard {
 public:
  optional_guard(Lock& lock, bool needed) noexcept : lock_(needed ? &lock : nullptr) { relock(); }
  optional_guard(const optional_guard&) = delete;
  optional_guard& operator=(const optional_guard&) = delete;
  ~optional_guard() {
    if (held_) unlock();
  }

  void relock() noexcept {
    if (lock_) lock_->lock();
    held_ = true;
  }
  void unlock() noexcept {
    if (lock_) lock_->unlock();
    held_ = false;
  }

 private:
  Lock* lock_;
  bool held_ = false;
};

}  // namespace weir::detail
