#include "spin_lock.hpp"

#include <sched.h>

namespace weir::detail {

void backoff::pause() noexcept {
  constexpr unsigned longest = 64;
  if (spins_ > longest) {
    sched_yield();
    return;
  }
  for (unsigned i = 0; i < spins_; ++i) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }
  spins_ *= 2;
}

void spin_lock::lock_slow() noexcept {
  backoff wait;
  do {
    while (held_.load(std::memory_order_relaxed) != 0) wait.pause();
  } while (held_.exchange(1, std::memory_order_acquire) != 0);
}

}  // namespace weir::detail
