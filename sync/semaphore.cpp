#include "semaphore.hpp"

#include <mutex>

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

void semaphore_core::serve_locked(intrusive_list<waiter>& woken) noexcept {
  while (waiter* first = waiting_.hold_first()) {
    auto& w = static_cast<semaphore_waiter&>(*first);
    if (w.count > available_) {
      waiter_queue::put_back(w);
      return;
    }
    available_ -= w.count;
    waiting_.take_held(w);
    woken.push_back(w);
  }
}

bool semaphore_core::try_take(std::size_t n) noexcept {
  const std::lock_guard guard(lock_);
  return take_locked(n);
}

admission semaphore_core::enter(semaphore_waiter& w) noexcept {
  const std::lock_guard guard(lock_);
  return waiting_.admit(w, [&] { return take_locked(w.count); });
}

bool semaphore_core::arm(semaphore_waiter& w, case_link link) noexcept {
  w.in_select = link;
  const std::lock_guard guard(lock_);
  const bool waits = w.count > available_ || waiting_.has_live(link.in);
  if (waits) waiting_.push(w);
  return waits;
}

bool semaphore_core::withdraw(semaphore_waiter& w) noexcept {
  locked_section inside(lock_);
  const bool mine = waiting_.withdraw(w);
  if (mine) serve_locked(inside.woken);
  return mine;
}

void semaphore_core::take_out(semaphore_waiter& w) noexcept {
  locked_section inside(lock_);
  if (waiting_.take_out(w)) serve_locked(inside.woken);
}

void semaphore_core::give(std::size_t n) noexcept {
  locked_section inside(lock_);
  WEIR_DETAIL_ASSERT(available_ + n >= available_, "more permits were released than a std::size_t can count");
  available_ += n;
  serve_locked(inside.woken);
}

std::size_t semaphore_core::available() noexcept {
  const std::lock_guard guard(lock_);
  return available_;
}

}  // namespace detail
}  // namespace weir
