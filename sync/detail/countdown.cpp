#include "countdown.hpp"

#include <algorithm>
#include <mutex>

#include "waiting_thread.hpp"

namespace weir::detail {

void countdown::add(std::size_t n) noexcept {
  const std::lock_guard guard(lock_);
  count_ += n;
}

void countdown::subtract(std::size_t n) noexcept {
  locked_section inside(lock_);
  WEIR_DETAIL_ASSERT(n <= count_, "a latch was counted down below zero");
  subtract_locked(n, inside.woken);
}

void countdown::subtract_locked(std::size_t n, intrusive_list<waiter>& woken) noexcept {
  count_ -= std::min(n, count_);
  if (count_ == 0) waiting_.take_all(woken);
}

std::size_t countdown::left() noexcept {
  const std::lock_guard guard(lock_);
  return count_;
}

void countdown::block(const char* sentence_on_a_worker) {
  if (is_zero()) return;
  waiting_thread self(sentence_on_a_worker);
  if (enter(self) == admission::queued) self.wait();
}

admission countdown::enter(waiter& w) noexcept {
  const std::lock_guard guard(lock_);
  return waiting_.admit(w, [this] { return count_ == 0; });
}

bool countdown::withdraw(waiter& w) noexcept {
  const std::lock_guard guard(lock_);
  return waiting_.withdraw(w);
}

bool countdown::arm(waiter& w, case_link link) noexcept {
  w.in_select = link;
  const std::lock_guard guard(lock_);
  const bool waits = count_ != 0;
  if (waits) waiting_.push(w);
  return waits;
}

void countdown::take_out(waiter& w) noexcept {
  const std::lock_guard guard(lock_);
  waiting_.take_out(w);
}

bool countdown::try_arrive() noexcept {
  locked_section inside(lock_);
  WEIR_DETAIL_ASSERT(count_ != 0, "somebody arrives at a latch that is open already");
  const bool last = count_ <= 1;
  if (last) subtract_locked(1, inside.woken);
  return last;
}

admission countdown::arrive(waiter& w) noexcept {
  locked_section inside(lock_);
  return waiting_.admit(w, [&] {
    WEIR_DETAIL_ASSERT(count_ != 0, "somebody arrives at a latch that is open already");
    subtract_locked(1, inside.woken);
    return count_ == 0;
  });
}

bool countdown::withdraw_arrival(waiter& w) noexcept {
  const std::lock_guard guard(lock_);
  const bool mine = waiting_.withdraw(w);
  if (mine) ++count_;
  return mine;
}

}  // namespace weir::detail
