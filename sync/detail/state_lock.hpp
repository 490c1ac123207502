#pragma once

#include <atomic>
#include <cstdint>

#include "domain.hpp"

namespace weir::detail {

/// A lock for sections of a few instructions, and the state that it guards, in one word.
///
/// While nobody holds it, change() alters the state in one instruction. While it is held only the holder alters the
/// state, and the new one appears with the unlock, in one store. So whoever sees a new state may end the object's life:
/// the thread that made the state has no further business with the object.
///
/// Made on a confined worker it is no lock, and uses no atomic instructions: it only sees to it that nobody else comes,
/// and ends the program with a sentence if somebody does.
class state_lock {
 public:
  using state = std::uint32_t;
  /// The one bit of the word that is not state.
  static constexpr state held = state{1} << 31;

  explicit state_lock(state initial = 0) noexcept : word_(initial) {}
  state_lock(const state_lock&) = delete;
  state_lock& operator=(const state_lock&) = delete;

  /// The state as it is or was; with `held` in it while somebody is inside.
  [[nodiscard]] state peek() const noexcept {
    if (domain_.is_confined()) domain_.check();
    return last();
  }
  /// The same without a look at who asks: for destructors.
  [[nodiscard]] state last() const noexcept { return word_.load(std::memory_order_acquire); }

  /// Without the lock: from `seen`, which must be free, to `wanted`. False when it was not `seen`, which then is what
  /// peek() would have given. Acquires and releases.
  bool change(state& seen, state wanted) noexcept {
    if (!domain_.is_confined()) return exchange(seen, wanted);
    domain_.check();
    return exchange_confined(seen, wanted);
  }
  /// `here` as for domain::check().
  bool change(state& seen, state wanted, const void* here) noexcept {
    if (!domain_.is_confined()) return exchange(seen, wanted);
    domain_.check(here);
    return exchange_confined(seen, wanted);
  }
  /// change() after a look, which costs nothing where the line is ours, and spares an instruction that would fail.
  bool change_if(state expected, state wanted) noexcept {
    if (!domain_.is_confined()) return last() == expected && exchange(expected, wanted);
    domain_.check();
    return exchange_confined(expected, wanted);
  }

  /// Returns the state.
  state lock() noexcept {
    if (domain_.is_confined()) {
      domain_.check();
      return word_.load(std::memory_order_relaxed);
    }
    state seen = word_.load(std::memory_order_relaxed);
    if ((seen & held) == 0 &&
        word_.compare_exchange_strong(seen, seen | held, std::memory_order_acquire, std::memory_order_relaxed)) {
      return seen;
    }
    return lock_slow();
  }
  void unlock(state wanted) noexcept { word_.store(wanted, std::memory_order_release); }

 private:
  bool exchange(state& seen, state wanted) noexcept {
    return word_.compare_exchange_strong(seen, wanted, std::memory_order_acq_rel, std::memory_order_acquire);
  }
  bool exchange_confined(state& seen, state wanted) noexcept {
    const state now = word_.load(std::memory_order_relaxed);
    if (now != seen) {
      seen = now;
      return false;
    }
    word_.store(wanted, std::memory_order_relaxed);
    return true;
  }
  state lock_slow() noexcept;

  domain domain_;
  std::atomic<state> word_;
};

}  // namespace weir::detail
