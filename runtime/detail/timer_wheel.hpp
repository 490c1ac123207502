#pragma once

#include <array>
#include <cstdint>

#include "spin_lock.hpp"
#include "timer.hpp"

namespace weir::detail {

/// The timers of one worker: a hierarchical wheel (Varghese and Lauck, "Hashed and Hierarchical Timing Wheels", 1987)
/// of eight levels with 64 slots each and a resolution of one microsecond, so that it reaches nine years. Arming and
/// cancelling are O(1); a timer moves down at most seven times. Timers of equal microsecond fire in the order in which
/// they were armed.
class timer_wheel {
 public:
  /// `shared`: may other threads cancel? Then a lock is taken.
  timer_wheel(time_point epoch, bool shared) noexcept : epoch_(epoch), shared_(shared) {}

  /// Owner only. False when `t` was cancelled before it was armed.
  bool arm(timer& t, time_point due) noexcept;
  /// Any thread.
  static timer_cancel cancel(timer& t) noexcept;
  static void wait_until_fired(timer& t) noexcept;

  /// Owner only: fires what is due at `now`. Returns how many.
  std::size_t advance(time_point now) noexcept;
  /// Owner only: when advance() has something to do next, never later than the first timer (it may be earlier, when
  /// timers have to move down); no_deadline when there is none.
  [[nodiscard]] time_point next_due() noexcept;
  [[nodiscard]] bool empty() const noexcept { return size() == 0; }
  /// Armed timers that can fire. Exact for the owner, a hint for others.
  [[nodiscard]] std::size_t size() const noexcept { return size_.load(std::memory_order_relaxed); }

 private:
  static constexpr unsigned levels = 8;
  static constexpr unsigned bits = 6;
  static constexpr unsigned slots = 1u << bits;

  [[nodiscard]] std::uint64_t ticks_up(time_point at) const noexcept;
  void resize(int by) noexcept {
    size_.store(size_.load(std::memory_order_relaxed) + static_cast<std::size_t>(by), std::memory_order_relaxed);
  }
  void place(timer& t) noexcept;
  timer_cancel cancel_armed(timer& t) noexcept;
  void take_out(timer& t) noexcept;
  [[nodiscard]] std::uint64_t next_tick() const noexcept;

  struct level {
    std::uint64_t occupied = 0;  // a bit per slot
    std::array<intrusive_list<timer>, slots> slot;
  };

  time_point epoch_;
  bool shared_;
  spin_lock lock_;
  std::atomic<std::size_t> size_{0};  // armed timers that can fire; written under the lock, read by the owner without
  std::uint64_t elapsed_ = 0;         // every timer due up to here has fired
  std::array<level, levels> levels_;
  intrusive_list<timer> due_;  // being fired
};

}  // namespace weir::detail
