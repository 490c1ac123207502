#include "semaphore.hpp"

#include "detail/waiting_thread.hpp"

namespace weir {

semaphore_permit semaphore::try_acquire(std::size_t n) noexcept { return try_take(n) ? permit(n) : semaphore_permit(); }

semaphore_permit semaphore::acquire_blocking(std::size_t n) {
  if (try_take(n)) return permit(n);
  detail::basic_waiting_thread<detail::semaphore_waiter> self(
      "weir: semaphore::acquire_blocking would block a worker of a runtime, and all its tasks: co_await acquire() "
      "instead",
      n);
  if (enter(self) == detail::admission::queued) self.wait();
  return permit(n);
}

namespace detail {

// Nobody is passed: neither those who can still be claimed, nor for their sake.
bool semaphore_core::take_locked(std::size_t n) noexcept {
  if (n > available_ || waiting_.has_live(nullptr)) return false;
  available_ -= n;
  return true;
}

void semaphore_core::serve_locked(woken_waiters& woken) noexcept {
  while (waiter* first = waiting_.hold_first()) {
    auto& w = static_cast<semaphore_waiter&>(*first);
    if (w.count > available_) {
      waiter_queue::put_back(w);
      return;
    }
    available_ -= w.count;
    waiting_.take_held(w);
    woken.add(w);
  }
}

bool semaphore_core::try_take(std::size_t n) noexcept {
  lock_.lock();
  const bool taken = take_locked(n);
  lock_.unlock();
  return taken;
}

admission semaphore_core::enter(semaphore_waiter& w) noexcept {
  lock_.lock();
  admission answer = admission::refused;
  if (!w.withdrawn()) {
    answer = take_locked(w.count) ? admission::passed : admission::queued;
    if (answer == admission::queued) waiting_.push(w);
  }
  lock_.unlock();
  return answer;
}

bool semaphore_core::arm(semaphore_waiter& w, case_link link) noexcept {
  w.in_select = link;
  lock_.lock();
  const bool waits = w.count > available_ || waiting_.has_live(link.in);
  if (waits) waiting_.push(w);
  lock_.unlock();
  return waits;
}

bool semaphore_core::withdraw(semaphore_waiter& w) noexcept {
  woken_waiters woken;
  lock_.lock();
  const bool mine = waiting_.withdraw(w);
  if (mine) serve_locked(woken);
  lock_.unlock();
  woken.wake();
  return mine;
}

void semaphore_core::take_out(semaphore_waiter& w) noexcept {
  woken_waiters woken;
  lock_.lock();
  if (waiting_.take_out(w)) serve_locked(woken);
  lock_.unlock();
  woken.wake();
}

void semaphore_core::give(std::size_t n) noexcept {
  woken_waiters woken;
  lock_.lock();
  WEIR_DETAIL_ASSERT(available_ + n >= available_, "more permits were released than a std::size_t can count");
  available_ += n;
  serve_locked(woken);
  lock_.unlock();
  woken.wake();
}

std::size_t semaphore_core::available() noexcept {
  lock_.lock();
  const std::size_t result = available_;
  lock_.unlock();
  return result;
}

}  // namespace detail
}  // namespace weir
