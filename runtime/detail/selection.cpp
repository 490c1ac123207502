#include "selection.hpp"

#include "spin_lock.hpp"

namespace weir::detail {

bool selection::decide_slow(std::uint8_t bit) noexcept {
  backoff wait;
  std::uint8_t open = word_.load(std::memory_order_relaxed);
  for (;;) {
    if ((open & decided) != 0) return false;
    if ((open & held) != 0) {
      wait.pause();
      open = word_.load(std::memory_order_relaxed);
    } else if (word_.compare_exchange_weak(open, static_cast<std::uint8_t>(open | bit), std::memory_order_acq_rel,
                                           std::memory_order_relaxed)) {
      return true;
    }
  }
}

bool selection::decide_stop() noexcept {
  backoff wait;
  std::uint8_t seen = word_.load(std::memory_order_relaxed);
  for (;;) {
    if ((seen & held) != 0) {
      wait.pause();
      seen = word_.load(std::memory_order_relaxed);
      continue;
    }
    const bool mine = (seen & decided) == 0;
    const auto wanted = static_cast<std::uint8_t>(seen | (mine ? decided | stopped | asked_to_stop : asked_to_stop));
    if (word_.compare_exchange_weak(seen, wanted, std::memory_order_acq_rel, std::memory_order_relaxed)) {
      return mine && (seen & armed) != 0;
    }
  }
}

}  // namespace weir::detail
