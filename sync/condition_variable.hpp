#pragma once

#include <concepts>
#include <coroutine>
#include <utility>

#include "../runtime/detail/config.hpp"
#include "../runtime/task.hpp"
#include "detail/domain_lock.hpp"
#include "detail/object_wait.hpp"
#include "detail/waiter.hpp"
#include "mutex.hpp"

namespace weir {

class condition_variable;

namespace detail {

/// Who waits first for a notification, in the condition variable's queue, and then for the lock, in the mutex's.
class condition_waiter : public waiter {
 public:
  bool notified = false;  // or taken out for its stop: it is none of the condition variable's any more. Under its lock.

 protected:
  condition_waiter() = default;
  condition_waiter(const condition_waiter&) = default;
  ~condition_waiter() = default;
};

class [[nodiscard]] condition_wait_operation final : public operation_base,
                                                     public basic_waiting_leaf<condition_waiter> {
 public:
  using value_type = void;

  condition_wait_operation(condition_variable& on, mutex& held) noexcept : on_(on), mutex_(held) {}
  condition_wait_operation(const condition_wait_operation&) = default;
  ~condition_wait_operation() = default;

  bool ready(const await_context&) const noexcept { return false; }
  std::coroutine_handle<> start(const await_context& context) noexcept;
  void resume() noexcept;
  result<void> resume_result() noexcept {
    resume();
    return result<void>(std::in_place);
  }
  [[nodiscard]] const char* name() const noexcept override { return "condition_variable::wait"; }

 private:
  void request_stop(cancellation_cause) noexcept override;
  void wake() noexcept override { go_on(false); }
  void wake_next() noexcept override { go_on(true); }
  void go_on(bool at_once) noexcept;
  void finish_with_lock(bool at_once) noexcept;

  condition_variable& on_;
  mutex& mutex_;
  const void* holder_ = nullptr;  // of the mutex: that of the guard, which stays where it is
  bool wants_lock_ = false;       // the next to wake it is the mutex
  bool stopping_ = false;
};

}  // namespace detail

/// Waits until something is true of what a mutex guards.
///
///     auto guard = co_await m.lock();
///     co_await not_empty.wait(guard, [&] { return !queue.empty(); });
///     use(queue.front());  // still, or again, held
///
/// Whoever makes it true calls notify_one() or notify_all(), best while holding the mutex or right after. Where a value
/// is to be handed over, a channel says it in one line; where something happens once, an event or latch does.
///
/// First come, first served. Any task of any runtime and any plain thread may use it. Allocates nothing. All who wait
/// at a time hold the same mutex. It must outlive all who wait; destroying it under a waiter is told in debug builds.
class condition_variable {
 public:
  condition_variable() = default;
  condition_variable(const condition_variable&) = delete;
  condition_variable& operator=(const condition_variable&) = delete;
  ~condition_variable() {
    WEIR_DETAIL_ASSERT(waiting_.empty(), "a condition_variable was destroyed while somebody waits for it");
  }

  /// Releases the mutex that `held` holds, waits for a notification, and completes once it holds the mutex again. No
  /// notification that comes after the release is missed, and it completes for no other reason. Never fails.
  ///
  /// Cancelled while waiting: takes the mutex again, which is not cancelled in turn, and stops; no notification is used
  /// up. When it had been notified before, it completes all the same. So `held` holds the mutex on every way out. Under
  /// a token that is already cancelled it stops without having released the mutex. `held` stays where it is meanwhile.
  /// Not selectable. Allocates nothing; O(1).
  [[nodiscard]] detail::condition_wait_operation wait(mutex_guard& held) noexcept WEIR_DETAIL_LIFETIMEBOUND {
    WEIR_DETAIL_ASSERT(held, "condition_variable::wait with a guard that holds nothing");
    return detail::condition_wait_operation(*this, *held.mutex_);
  }

  /// Waits until `condition()` is true, which is asked with the mutex held, before and after each wait. What it throws
  /// is thrown. Cancelled: as above, and no task that waits for a condition that is true already observes it.
  template <std::predicate Condition>
  [[nodiscard]] task<> wait(mutex_guard& held, Condition condition) {
    while (!condition()) co_await wait(held);
  }

  /// wait() for a thread outside of every runtime, which it blocks. On a worker it throws std::logic_error. Cannot be
  /// cancelled.
  void wait_blocking(mutex_guard& held);
  template <std::predicate Condition>
  void wait_blocking(mutex_guard& held, Condition condition) {
    while (!condition()) wait_blocking(held);
  }

  /// Lets the one go on that has waited longest, once it has the mutex. Without anybody waiting nothing happens, and
  /// nothing is kept. Callable from destructors and callbacks. O(1).
  void notify_one() noexcept;
  /// The same for all who wait. They get the mutex one after the other, in the order in which they came. O(waiters).
  void notify_all() noexcept;

 private:
  friend class detail::condition_wait_operation;
  friend class detail::condition_waiting_thread;

  detail::admission enter(detail::condition_waiter& w) noexcept;

  detail::domain_lock lock_;
  detail::waiter_queue waiting_;
};

}  // namespace weir
