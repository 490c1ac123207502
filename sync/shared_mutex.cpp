#include "shared_mutex.hpp"

#include "detail/waiting_thread.hpp"

namespace weir::detail {

void shared_mutex_core::take_as(bool exclusive) noexcept {
  if (exclusive) {
    writer_ = true;
  } else {
    ++readers_;
  }
}

// Nobody is passed, so that writers are not kept out by readers who keep coming.
bool shared_mutex_core::enter_locked(bool exclusive) noexcept {
  if (!free_for(exclusive) || !waiting_.empty()) return false;
  take_as(exclusive);
  return true;
}

void shared_mutex_core::serve_locked(woken_waiters& woken) noexcept {
  while (waiter* first = waiting_.hold_first()) {
    auto& w = static_cast<shared_mutex_waiter&>(*first);
    if (!free_for(w.exclusive)) return;
    take_as(w.exclusive);
    waiting_.take_held(w);
    woken.add(w);
  }
}

bool shared_mutex_core::try_lock_as(bool exclusive) noexcept {
  lock_.lock();
  const bool taken = enter_locked(exclusive);
  lock_.unlock();
  return taken;
}

admission shared_mutex_core::enter(shared_mutex_waiter& w) noexcept {
  lock_.lock();
  admission answer = admission::refused;
  if (!w.withdrawn()) {
    answer = enter_locked(w.exclusive) ? admission::passed : admission::queued;
    if (answer == admission::queued) waiting_.push(w);
  }
  lock_.unlock();
  return answer;
}

bool shared_mutex_core::withdraw(shared_mutex_waiter& w) noexcept {
  woken_waiters woken;
  lock_.lock();
  const bool mine = waiting_.withdraw(w);
  if (mine) serve_locked(woken);
  lock_.unlock();
  woken.wake();
  return mine;
}

void shared_mutex_core::unlock_writer() noexcept {
  woken_waiters woken;
  lock_.lock();
  writer_ = false;
  serve_locked(woken);
  lock_.unlock();
  woken.wake();
}

void shared_mutex_core::unlock_reader() noexcept {
  woken_waiters woken;
  lock_.lock();
  if (--readers_ == 0) serve_locked(woken);
  lock_.unlock();
  woken.wake();
}

void shared_mutex_core::downgrade() noexcept {
  woken_waiters woken;
  lock_.lock();
  writer_ = false;
  readers_ = 1;
  serve_locked(woken);
  lock_.unlock();
  woken.wake();
}

void shared_mutex_core::lock_blocking_as(bool exclusive, const char* sentence_on_a_worker) {
  if (try_lock_as(exclusive)) return;
  basic_waiting_thread<shared_mutex_waiter> self(sentence_on_a_worker, exclusive);
  if (enter(self) == admission::queued) self.wait();
}

}  // namespace weir::detail
