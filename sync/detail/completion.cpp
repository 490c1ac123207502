#include "completion.hpp"

namespace weir::detail {

bool completion::happen_slow() noexcept {
  const state now = lock_.lock();
  intrusive_list<waiter> woken;
  waiting_.take_all(woken);
  // Whoever waits keeps the object alive until he is woken; when nobody does, it may go with the unlock.
  lock_.unlock((now | done) & ~awaited);
  while (!woken.empty()) woken.pop_front().wake_next();
  return (now & gone) != 0;
}

admission completion::enter(waiter& w) noexcept {
  const state now = lock_.lock();
  const admission answer = waiting_.admit(w, [now] { return (now & done) != 0; });
  lock_.unlock(answer == admission::queued ? now | awaited : now);
  return answer;
}

bool completion::withdraw(waiter& w) noexcept {
  const state now = lock_.lock();
  const bool mine = waiting_.withdraw(w);
  lock_.unlock(now);
  return mine;
}

bool completion::arm(waiter& w, case_link link) noexcept {
  w.in_select = link;
  const state now = lock_.lock();
  const bool waits = (now & done) == 0;
  if (waits) waiting_.push(w);
  lock_.unlock(waits ? now | awaited : now);
  return waits;
}

void completion::take_out(waiter& w) noexcept {
  const state now = lock_.lock();
  waiting_.take_out(w);
  lock_.unlock(now);
}

}  // namespace weir::detail
