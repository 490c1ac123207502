#include "spin_lock.hpp"

#include <sched.h>

namespace weir::detail {

void backoff::pause() noexcept {
  constexpr unsigned spins_before_yield = 64;
  if (++spins_ <= spins_before_yield) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  } else {
    sched_yield();
  }
}

void spin_lock::lock_slow() noexcept {
  backoff wait;
  do {
    while (held_.load(std::memory_order_relaxed) != 0) wait.pause();
  } while (held_.exchange(1, std::memory_order_acquire) != 0);
}

}  // namespace weir::detail
