#include "barrier.hpp"

#include <mutex>

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

void barrier_core::begin_next_round(intrusive_list<waiter>& woken) noexcept {
  arrived_ = 0;
  waiting_.take_all(woken);
}

bool barrier_core::try_arrive_last() noexcept {
  locked_section inside(lock_);
  const bool last = arrived_ + 1 >= parties_;
  if (last) begin_next_round(inside.woken);
  return last;
}

admission barrier_core::enter(barrier_waiter& w) noexcept {
  locked_section inside(lock_);
  const auto comes_last = [&] {
    w.last = arrived_ + 1 >= parties_;
    if (w.last) {
      begin_next_round(inside.woken);
    } else {
      ++arrived_;
    }
    return w.last;
  };
  return waiting_.admit(w, comes_last);
}

bool barrier_core::withdraw(barrier_waiter& w) noexcept {
  const std::lock_guard guard(lock_);
  const bool mine = waiting_.withdraw(w);
  if (mine) --arrived_;
  return mine;
}

void barrier_core::drop() noexcept {
  locked_section inside(lock_);
  WEIR_DETAIL_ASSERT(parties_ > arrived_, "barrier::drop() by a party that waits, or that was never counted");
  --parties_;
  if (arrived_ != 0 && arrived_ >= parties_) begin_next_round(inside.woken);
}

std::size_t barrier_core::parties() noexcept {
  const std::lock_guard guard(lock_);
  return parties_;
}

}  // namespace detail
}  // namespace weir
