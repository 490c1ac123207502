#include "shared_mutex.hpp"

#include <mutex>

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

void shared_mutex_core::serve_locked(intrusive_list<waiter>& woken) noexcept {
  while (waiter* first = waiting_.hold_first()) {
    auto& w = static_cast<shared_mutex_waiter&>(*first);
    if (!free_for(w.exclusive)) return;
    take_as(w.exclusive);
    waiting_.take_held(w);
    woken.push_back(w);
  }
}

bool shared_mutex_core::try_lock_as(bool exclusive) noexcept {
  const std::lock_guard guard(lock_);
  return enter_locked(exclusive);
}

admission shared_mutex_core::enter(shared_mutex_waiter& w) noexcept {
  const std::lock_guard guard(lock_);
  const admission answer = waiting_.admit(w, [&] { return enter_locked(w.exclusive); });
  if (answer == admission::queued) waits_.add();
  return answer;
}

bool shared_mutex_core::withdraw(shared_mutex_waiter& w) noexcept {
  locked_section inside(lock_);
  const bool mine = waiting_.withdraw(w);
  if (mine) serve_locked(inside.woken);
  return mine;
}

void shared_mutex_core::unlock_writer() noexcept {
  locked_section inside(lock_);
  writer_ = false;
  serve_locked(inside.woken);
}

void shared_mutex_core::unlock_reader() noexcept {
  locked_section inside(lock_);
  if (--readers_ == 0) serve_locked(inside.woken);
}

void shared_mutex_core::downgrade() noexcept {
  locked_section inside(lock_);
  writer_ = false;
  readers_ = 1;
  serve_locked(inside.woken);
}

void shared_mutex_core::lock_blocking_as(bool exclusive, const char* sentence_on_a_worker) {
  if (try_lock_as(exclusive)) return;
  basic_waiting_thread<shared_mutex_waiter> self(sentence_on_a_worker, exclusive);
  if (enter(self) == admission::queued) self.wait();
}

}  // namespace weir::detail
