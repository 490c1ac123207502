#include "mutex.hpp"

#include "../runtime/detail/spin_lock.hpp"
#include "detail/waiting_thread.hpp"

namespace weir {

bool mutex::acquire_if_free() noexcept {
  detail::backoff pause;
  for (state seen = lock_.peek(); (seen & locked) == 0; seen = lock_.peek()) {
    if ((seen & detail::state_lock::held) != 0) {
      pause.pause();
    } else if (lock_.change(seen, seen | locked)) {
      return true;
    }
  }
  return false;
}

void mutex::hand_over() noexcept {
  lock_.lock();
  detail::waiter* next = waiting_.take_first();
  // `next` has the lock from here on. With nobody left, whoever comes next may end the mutex.
  lock_.unlock(!next ? 0 : waiting_.empty() ? locked : locked | awaited);
  if (next) next->wake_next();
}

detail::admission mutex::enter(detail::waiter& w) noexcept {
  const state now = lock_.lock();
  if (w.withdrawn()) {
    lock_.unlock(now);
    return detail::admission::refused;
  }
  if ((now & locked) == 0) {
    lock_.unlock(now | locked);
    return detail::admission::passed;
  }
  queue(w);
  lock_.unlock(now | awaited);
  return detail::admission::queued;
}

bool mutex::enter_for_certain(detail::waiter& w) noexcept {
  const state now = lock_.lock();
  const bool passes = (now & locked) == 0;
  if (!passes) queue(w);
  lock_.unlock(passes ? now | locked : now | awaited);
  return passes;
}

void mutex::block() {
  detail::waiting_thread self(
      "weir: mutex::lock_blocking would block a worker of a runtime, and all its tasks: co_await lock() instead");
  WEIR_DETAIL_ASSERT(holder_.load(std::memory_order_relaxed) != this_thread(),
                     "a thread locks a mutex that it already holds, and would wait for itself for ever");
  if (enter(self) == detail::admission::queued) self.wait();
}

bool mutex::held_along(const detail::promise_base& task) const noexcept {
  const void* holder = holder_.load(std::memory_order_relaxed);
  return holder && detail::returns_to(task, holder);
}

const void* mutex::this_thread() noexcept { return detail::this_thread(); }

namespace detail {

std::coroutine_handle<> mutex_lock_operation::enqueue(const await_context& context) noexcept {
  return wait_for(context, [this] { return mutex_.enter(*this); });
}

void mutex_lock_operation::request_stop(cancellation_cause) noexcept { withdraw_from(mutex_.waiting_, mutex_.lock_); }

}  // namespace detail
}  // namespace weir
