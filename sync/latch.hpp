#pragma once

#include <cstddef>

#include "../runtime/detail/config.hpp"
#include "detail/countdown.hpp"

namespace weir {

/// A gate that opens when a number of things have happened, once and for good.
///
///     weir::latch ready(3);
///     for (auto& part : parts) group.spawn(start_part, std::ref(part), std::ref(ready));  // ... ready.count_down();
///     co_await ready.wait();
///
/// What was done before count_down() is seen by whoever the latch lets through. Any thread may call any member, in or
/// out of a runtime. Allocates nothing. It must outlive the calls on it and all who wait (told in debug builds), but
/// the last one to be let through may destroy it at once. To count up again, use a wait_group; to meet again and again,
/// a barrier.
class latch : private detail::countdown {
 public:
  /// With 0 it is open from the start.
  explicit latch(std::size_t count) noexcept : countdown(count) {}
  ~latch() { WEIR_DETAIL_ASSERT(deserted(), "a latch was destroyed while somebody waits for it"); }

  /// Counts `n` down. With the last one everybody goes through, those who wait and those still to come. Counting below
  /// zero is told in debug builds, and stops at zero. Callable from destructors and callbacks: it only makes tasks
  /// ready. O(1), the last one O(waiters).
  void count_down(std::size_t n = 1) noexcept { countdown::subtract(n); }

  /// Whether it is open.
  [[nodiscard]] bool try_wait() noexcept { return countdown::is_zero(); }

  /// Completes when it is open. Never fails.
  ///
  /// Cancelled while waiting: leaves the queue and stops. Under a token that is already cancelled it stops, open or
  /// not. Selectable. Allocates nothing; O(1).
  [[nodiscard]] detail::countdown_wait_operation wait() noexcept WEIR_DETAIL_LIFETIMEBOUND {
    return detail::countdown_wait_operation(*this, "latch::wait");
  }

  /// Counts one down and waits for the rest. Never fails.
  ///
  /// Cancelled while waiting: takes its arrival back and stops: the latch then waits for somebody else. Under a token
  /// that is already cancelled it does not arrive. Allocates nothing; O(1), the last one O(waiters).
  [[nodiscard]] detail::countdown_arrive_operation arrive_and_wait() noexcept WEIR_DETAIL_LIFETIMEBOUND {
    return detail::countdown_arrive_operation(*this, "latch::arrive_and_wait");
  }

  /// wait() for a thread outside of every runtime, which it blocks. On a worker it throws std::logic_error where it
  /// would have to wait. Cannot be cancelled.
  void wait_blocking() {
    countdown::block(
        "weir: latch::wait_blocking would block a worker of a runtime, and all its tasks: co_await wait() "
        "instead");
  }
};

}  // namespace weir
