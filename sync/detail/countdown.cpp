#include "countdown.hpp"

#include <algorithm>

#include "waiting_thread.hpp"

namespace weir::detail {

void countdown::add(std::size_t n) noexcept {
  lock_.lock();
  count_ += n;
  lock_.unlock();
}

void countdown::subtract(std::size_t n) noexcept {
  woken_waiters woken;
  lock_.lock();
  WEIR_DETAIL_ASSERT(n <= count_, "a latch was counted down below zero");
  count_ -= std::min(n, count_);
  if (count_ == 0) waiting_.take_all(woken.list());
  lock_.unlock();
  woken.wake();
}

std::size_t countdown::left() noexcept {
  lock_.lock();
  const std::size_t result = count_;
  lock_.unlock();
  return result;
}

void countdown::block(const char* sentence_on_a_worker) {
  if (is_zero()) return;
  waiting_thread self(sentence_on_a_worker);
  if (enter(self) == admission::queued) self.wait();
}

admission countdown::enter(waiter& w) noexcept {
  lock_.lock();
  admission answer = admission::refused;
  if (!w.withdrawn()) {
    answer = count_ == 0 ? admission::passed : admission::queued;
    if (answer == admission::queued) waiting_.push(w);
  }
  lock_.unlock();
  return answer;
}

bool countdown::withdraw(waiter& w) noexcept {
  lock_.lock();
  const bool mine = waiting_.withdraw(w);
  lock_.unlock();
  return mine;
}

bool countdown::arm(waiter& w, case_link link) noexcept {
  w.in_select = link;
  lock_.lock();
  const bool waits = count_ != 0;
  if (waits) waiting_.push(w);
  lock_.unlock();
  return waits;
}

void countdown::take_out(waiter& w) noexcept {
  lock_.lock();
  waiting_.take_out(w);
  lock_.unlock();
}

bool countdown::try_arrive() noexcept {
  woken_waiters woken;
  lock_.lock();
  WEIR_DETAIL_ASSERT(count_ != 0, "somebody arrives at a latch that is open already");
  const bool last = count_ <= 1;
  if (last) {
    count_ = 0;
    waiting_.take_all(woken.list());
  }
  lock_.unlock();
  woken.wake();
  return last;
}

admission countdown::arrive(waiter& w) noexcept {
  woken_waiters woken;
  lock_.lock();
  admission answer = admission::refused;
  if (!w.withdrawn()) {
    WEIR_DETAIL_ASSERT(count_ != 0, "somebody arrives at a latch that is open already");
    count_ -= std::min<std::size_t>(count_, 1);
    answer = count_ == 0 ? admission::passed : admission::queued;
    if (answer == admission::queued) {
      waiting_.push(w);
    } else {
      waiting_.take_all(woken.list());
    }
  }
  lock_.unlock();
  woken.wake();
  return answer;
}

bool countdown::withdraw_arrival(waiter& w) noexcept {
  lock_.lock();
  const bool mine = waiting_.withdraw(w);
  if (mine) ++count_;
  lock_.unlock();
  return mine;
}

}  // namespace weir::detail
