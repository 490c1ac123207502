#include "condition_variable.hpp"

#include <mutex>

#include "detail/waiting_thread.hpp"

namespace weir {

detail::admission condition_variable::enter(detail::condition_waiter& w) noexcept {
  const std::lock_guard guard(lock_);
  return waiting_.admit(w, [] { return false; });
}

void condition_variable::notify_one() noexcept {
  lock_.lock();
  detail::waiter* const first = waiting_.take_first();
  if (first) static_cast<detail::condition_waiter*>(first)->notified = true;
  lock_.unlock();
  if (first) first->wake();
}

void condition_variable::notify_all() noexcept {
  detail::intrusive_list<detail::waiter> all;
  lock_.lock();
  while (detail::waiter* const w = waiting_.take_first()) {
    static_cast<detail::condition_waiter*>(w)->notified = true;
    all.push_back(*w);
  }
  lock_.unlock();
  while (!all.empty()) all.pop_front().wake();
}

namespace detail {

std::coroutine_handle<> condition_wait_operation::start(const await_context& context) noexcept {
  if (!begin(context)) return std::noop_coroutine();
  mutex& held = mutex_;
  holder_ = held.holder_.load(std::memory_order_relaxed);
  if (on_.enter(*this) == admission::refused) {
    complete_stopped();  // with the mutex, which was not released
    return std::noop_coroutine();
  }
  // From here on it may be notified or stopped, and then waits for this release.
  held.release();
  return std::noop_coroutine();
}

void condition_wait_operation::resume() noexcept {
  finish();
  mutex_.holder_.store(holder_, std::memory_order_relaxed);
}

void condition_wait_operation::request_stop(cancellation_cause) noexcept {
  on_.lock_.lock();
  const bool mine = !notified && on_.waiting_.withdraw(*this);
  if (mine) notified = true;
  on_.lock_.unlock();
  if (!mine) return;
  stopping_ = true;
  go_on(false);
}

void condition_wait_operation::go_on(bool at_once) noexcept {
  if (!wants_lock_) {
    wants_lock_ = true;
    if (!mutex_.enter_for_certain(*this)) return;  // it may be through and gone
  }
  finish_with_lock(at_once);
}

void condition_wait_operation::finish_with_lock(bool at_once) noexcept {
  if (stopping_) {
    complete_stopped();
  } else if (at_once) {
    complete_next();
  } else {
    complete();
  }
}

class condition_waiting_thread final : public condition_waiter {
 public:
  explicit condition_waiting_thread(mutex& held)
      : mutex_(held),
        latch_(
            "weir: condition_variable::wait_blocking would block a worker of a runtime, and all its tasks: "
            "co_await wait() instead") {}
  ~condition_waiting_thread() = default;

  void wait(condition_variable& on) noexcept {
    static_cast<void>(on.enter(*this));  // nobody stops a thread
    const void* const holder = mutex_.holder_.load(std::memory_order_relaxed);
    mutex_.release();
    latch_.wait();
    mutex_.holder_.store(holder, std::memory_order_relaxed);
  }

 private:
  void wake() noexcept override {
    if (!wants_lock_) {
      wants_lock_ = true;
      if (!mutex_.enter_for_certain(*this)) return;
    }
    latch_.set();
  }

  mutex& mutex_;
  thread_latch latch_;
  bool wants_lock_ = false;
};

}  // namespace detail

void condition_variable::wait_blocking(mutex_guard& held) {
  WEIR_DETAIL_ASSERT(held, "condition_variable::wait_blocking with a guard that holds nothing");
  detail::condition_waiting_thread self(*held.mutex_);
  self.wait(*this);
}

}  // namespace weir
