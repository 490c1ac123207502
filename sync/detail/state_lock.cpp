#include "state_lock.hpp"

#include "../../runtime/detail/spin_lock.hpp"

namespace weir::detail {

state_lock::state state_lock::lock_slow() noexcept {
  backoff wait;
  for (;;) {
    state seen = word_.load(std::memory_order_relaxed);
    if ((seen & held) != 0) {
      wait.pause();
    } else if (word_.compare_exchange_weak(seen, seen | held, std::memory_order_acquire, std::memory_order_relaxed)) {
      return seen;
    }
  }
}

}  // namespace weir::detail
