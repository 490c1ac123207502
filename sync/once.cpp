#include "once.hpp"

#include "detail/waiting_thread.hpp"

namespace weir::detail {

once_turn::once_turn(once_core& of, const void* holder) noexcept : core_(&of) {
  of.holder_.store(holder, std::memory_order_relaxed);
}

once_turn::~once_turn() {
  if (core_) core_->pass_on();
}

void once_turn::succeed() noexcept { std::exchange(core_, nullptr)->settle(once_core::done); }

void once_turn::fail(std::exception_ptr error) noexcept {
  if (core_->policy_ != on_failure::keep) return;  // it ends undecided
  core_->error_ = std::move(error);
  std::exchange(core_, nullptr)->settle(once_core::failed);
}

once_answer once_core::ask_locked(state& now) const noexcept {
  if ((now & (done | failed)) != 0) return once_answer::settled;
  if ((now & busy) != 0) return once_answer::later;
  now |= busy;
  return once_answer::turn;
}

once_answer once_core::ask() noexcept {
  state now = lock_.lock();
  const once_answer answer = ask_locked(now);
  lock_.unlock(now);
  return answer;
}

admission once_core::enter(once_waiter& w) noexcept {
  state now = lock_.lock();
  const admission answer = waiting_.admit(w, [&] {
    const once_answer told = ask_locked(now);
    w.has_turn = told == once_answer::turn;
    return told != once_answer::later;
  });
  lock_.unlock(now);
  return answer;
}

bool once_core::withdraw(once_waiter& w) noexcept {
  const state now = lock_.lock();
  const bool mine = waiting_.withdraw(w);
  lock_.unlock(now);
  return mine;
}

once_turn once_core::enter_blocking(const char* sentence) {
  switch (ask()) {
    case once_answer::turn:
      return {*this, this_thread()};
    case once_answer::settled:
      return {};
    case once_answer::later:
      break;
  }
  basic_waiting_thread<once_waiter> self(sentence);
  WEIR_DETAIL_ASSERT(holder_.load(std::memory_order_relaxed) != this_thread(),
                     "a once or lazy is asked for from inside of its own function, and would wait for itself for ever");
  if (enter(self) == admission::queued) self.wait();
  return self.has_turn ? once_turn(*this, this_thread()) : once_turn();
}

bool once_core::is_run_along(const promise_base& task) const noexcept {
  const void* const holder = holder_.load(std::memory_order_relaxed);
  return holder && returns_to(task, holder);
}

void once_core::settle(state how) noexcept {
  holder_.store(nullptr, std::memory_order_relaxed);
  intrusive_list<waiter> woken;
  lock_.lock();
  waiting_.take_all(woken);
  lock_.unlock(how);
  while (!woken.empty()) woken.pop_front().wake();
}

void once_core::pass_on() noexcept {
  holder_.store(nullptr, std::memory_order_relaxed);
  const state now = lock_.lock();
  waiter* const next = waiting_.take_first();
  if (next) static_cast<once_waiter*>(next)->has_turn = true;
  lock_.unlock(next ? now : 0);
  if (next) next->wake_next();
}

}  // namespace weir::detail
