#include "barrier.hpp"

#include "detail/waiting_thread.hpp"

namespace weir {

bool barrier::arrive_and_wait_blocking() {
  if (try_arrive_last()) return true;
  detail::basic_waiting_thread<detail::barrier_waiter> self(
      "weir: barrier::arrive_and_wait_blocking would block a worker of a runtime, and all its tasks: co_await "
      "arrive_and_wait() instead");
  if (enter(self) == detail::admission::queued) self.wait();
  return self.last;
}

namespace detail {

bool barrier_core::try_arrive_last() noexcept {
  woken_waiters woken;
  lock_.lock();
  const bool last = arrived_ + 1 >= parties_;
  if (last) {
    arrived_ = 0;
    waiting_.take_all(woken.list());
  }
  lock_.unlock();
  woken.wake();
  return last;
}

admission barrier_core::enter(barrier_waiter& w) noexcept {
  woken_waiters woken;
  lock_.lock();
  admission answer = admission::refused;
  if (!w.withdrawn()) {
    if (arrived_ + 1 >= parties_) {
      answer = admission::passed;
      w.last = true;
      arrived_ = 0;
      waiting_.take_all(woken.list());
    } else {
      answer = admission::queued;
      ++arrived_;
      waiting_.push(w);
    }
  }
  lock_.unlock();
  woken.wake();
  return answer;
}

bool barrier_core::withdraw(barrier_waiter& w) noexcept {
  lock_.lock();
  const bool mine = waiting_.withdraw(w);
  if (mine) --arrived_;
  lock_.unlock();
  return mine;
}

void barrier_core::drop() noexcept {
  woken_waiters woken;
  lock_.lock();
  WEIR_DETAIL_ASSERT(parties_ > arrived_, "barrier::drop() by a party that waits, or that was never counted");
  --parties_;
  if (arrived_ != 0 && arrived_ >= parties_) {
    arrived_ = 0;
    waiting_.take_all(woken.list());
  }
  lock_.unlock();
  woken.wake();
}

std::size_t barrier_core::parties() noexcept {
  lock_.lock();
  const std::size_t result = parties_;
  lock_.unlock();
  return result;
}

}  // namespace detail
}  // namespace weir
