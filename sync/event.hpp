#pragma once

#include <coroutine>
#include <cstdint>
#include <utility>

#include "../runtime/detail/config.hpp"
#include "../runtime/detail/operation.hpp"
#include "detail/state_lock.hpp"
#include "detail/waiter.hpp"

namespace weir {

class event;

namespace detail {

class [[nodiscard]] event_wait_operation final : public operation_base, public waiting_leaf {
 public:
  using value_type = void;

  explicit event_wait_operation(event& target) noexcept : event_(target) {}
  event_wait_operation(const event_wait_operation&) = default;
  ~event_wait_operation() = default;

  bool ready(const await_context& context) noexcept;
  std::coroutine_handle<> start(const await_context& context) noexcept;
  void resume() noexcept { finish(); }
  result<void> resume_result() noexcept {
    finish();
    return result<void>(std::in_place);
  }
  [[nodiscard]] const char* name() const noexcept override { return "event::wait"; }

  // The selectable protocol.
  bool try_commit() noexcept;
  bool arm_case(case_link link) noexcept;
  void withdraw_case() noexcept;
  [[nodiscard]] const void* case_object() const noexcept { return &event_; }

 private:
  void request_stop(cancellation_cause) noexcept override;

  event& event_;
};

}  // namespace detail

enum class reset_mode : std::uint8_t {
  manual,     ///< set() lets everybody through, until reset()
  automatic,  ///< each set() lets one through
};

/// Something that happens, and that tasks and threads can wait for.
///
///     weir::event ready;
///     group.spawn(...);         // ... co_await ready.wait(); ...
///     ready.set();
///
/// A manual event is a gate: once set() it lets through all who wait and all who come, until reset(). An automatic one
/// is a turnstile: each set() lets one waiter through, the one that has waited longest; when nobody waits the signal is
/// kept for the next to come. One signal is kept, not a count: set() of an event that is set changes nothing. (To
/// count, use a semaphore; to hand over values, a channel.)
///
/// What was done before set() is seen by whoever it lets through. Any thread may call any member, in or out of a
/// runtime, and tasks of several runtimes may wait for one event; but an event that was made on a confined worker
/// belongs to that worker. Allocates nothing.
///
/// It must outlive the calls on it and all who wait: destroying it under a waiter is told in debug builds. But a set()
/// does not touch the event any more once the last waiter can go on, so that waiter may destroy it.
class event {
 public:
  explicit event(reset_mode mode = reset_mode::manual, bool initially_set = false) noexcept
      : lock_(initially_set ? signalled : 0), mode_(mode) {}
  event(const event&) = delete;
  event& operator=(const event&) = delete;
  ~event() { WEIR_DETAIL_ASSERT(waiting_.empty(), "an event was destroyed while somebody waits for it"); }

  /// Manual: lets everybody through, in the order in which they came, and those still to come. Automatic: lets one
  /// through, or keeps the signal. Callable from destructors and callbacks: it only makes tasks ready. O(1), manual:
  /// O(waiters).
  void set() noexcept;

  /// Takes the signal back. Who was let through before is not stopped by it, even if it has not run yet. O(1).
  void reset() noexcept;

  /// Whether somebody who came now would get through. A hint where others may set or reset meanwhile.
  [[nodiscard]] bool is_set() const noexcept { return (lock_.peek() & signalled) != 0; }

  /// Goes through if that takes no waiting, using up the signal of an automatic event. O(1).
  [[nodiscard]] bool try_wait() noexcept;

  /// Completes when the event lets it through: at once when it is set, first come, first served when it is automatic.
  /// Never fails.
  ///
  /// Cancelled while waiting: leaves the queue and stops; no signal is used up. When a signal had been handed to it
  /// before, it completes all the same. Under a token that is already cancelled it stops, set or not. Selectable: when
  /// another case is chosen no signal is used up. Allocates nothing; O(1).
  [[nodiscard]] detail::event_wait_operation wait() noexcept WEIR_DETAIL_LIFETIMEBOUND {
    return detail::event_wait_operation(*this);
  }

  /// The same for a thread outside of every runtime, which it blocks; it queues among the tasks. On a worker it throws
  /// std::logic_error where it would have to wait. Cannot be cancelled.
  void wait_blocking();

 private:
  friend class detail::event_wait_operation;
  using state = detail::state_lock::state;
  // An event that is set has no waiters. Without `awaited` there are none; with it, maybe.
  static constexpr state signalled = 1;
  static constexpr state awaited = 2;

  detail::admission enter(detail::waiter& w) noexcept;
  bool enter_as_case(detail::waiter& w) noexcept;
  void set_slow() noexcept;

  detail::state_lock lock_;
  const reset_mode mode_;
  detail::waiter_queue waiting_;
};

}  // namespace weir
