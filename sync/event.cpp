#include "event.hpp"

#include "../runtime/detail/spin_lock.hpp"
#include "detail/waiting_thread.hpp"

namespace weir {

void event::set() noexcept {
  state seen = lock_.peek();
  while ((seen & (detail::state_lock::held | awaited)) == 0) {
    // Also where it is set already: whoever goes through later is to see what this caller did before.
    if (lock_.change(seen, signalled)) return;
  }
  set_slow();
}

void event::set_slow() noexcept {
  lock_.lock();
  if (mode_ == reset_mode::automatic) {
    detail::waiter* first = waiting_.take_first();
    if (!first) {
      lock_.unlock(signalled);
      return;
    }
    lock_.unlock(waiting_.empty() ? 0 : awaited);
    first->wake_next();
    return;
  }
  detail::intrusive_list<detail::waiter> through;
  waiting_.take_all(through);
  lock_.unlock(signalled);
  while (!through.empty()) through.pop_front().wake();
}

void event::reset() noexcept {
  const state now = lock_.lock();
  lock_.unlock(now & ~signalled);
}

bool event::try_wait() noexcept {
  detail::backoff pause;
  for (state seen = lock_.peek(); (seen & signalled) != 0; seen = lock_.peek()) {
    // Not past somebody who is inside: see state_lock.
    if ((seen & detail::state_lock::held) != 0) {
      pause.pause();
    } else if (mode_ == reset_mode::manual || lock_.change(seen, seen & ~signalled)) {
      return true;
    }
  }
  return false;
}

detail::admission event::enter(detail::waiter& w) noexcept {
  const state now = lock_.lock();
  if (w.withdrawn()) {
    lock_.unlock(now);
    return detail::admission::refused;
  }
  if ((now & signalled) != 0) {
    lock_.unlock(mode_ == reset_mode::automatic ? now & ~signalled : now);
    return detail::admission::passed;
  }
  waiting_.push(w);
  lock_.unlock(now | awaited);
  return detail::admission::queued;
}

bool event::enter_as_case(detail::waiter& w) noexcept {
  const state now = lock_.lock();
  const bool waits = (now & signalled) == 0;
  if (waits) waiting_.push(w);
  lock_.unlock(waits ? now | awaited : now);
  return waits;
}

void event::wait_blocking() {
  if (try_wait()) return;
  detail::waiting_thread self(
      "weir: event::wait_blocking would block a worker of a runtime, and all its tasks: co_await wait() instead");
  if (enter(self) == detail::admission::queued) self.wait();
}

namespace detail {

bool event_wait_operation::ready(const await_context& context) noexcept {
  return may_complete_now(context) && event_.try_wait();
}

std::coroutine_handle<> event_wait_operation::start(const await_context& context) noexcept {
  return wait_for(context, [this] { return event_.enter(*this); });
}

bool event_wait_operation::try_commit() noexcept { return event_.try_wait(); }

bool event_wait_operation::arm_case(case_link link) noexcept {
  in_select = link;
  return event_.enter_as_case(*this);
}

void event_wait_operation::withdraw_case() noexcept {
  const state_lock::state now = event_.lock_.lock();
  event_.waiting_.take_out(*this);
  event_.lock_.unlock(now);
}

void event_wait_operation::request_stop(cancellation_cause) noexcept { withdraw_from(event_.waiting_, event_.lock_); }

}  // namespace detail
}  // namespace weir
