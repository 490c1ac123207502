#include "sleep.hpp"

#include "detail/worker.hpp"

#include <stdexcept>
#include <utility>

namespace weir {
namespace detail {

bool sleep_operation::ready(const await_context& context) noexcept {
  const time_point now = clock::now();
  past_ = fix_due(now) <= now;
  return past_ && may_complete_now(context);
}

bool sleep_operation::try_commit() noexcept {
  const time_point now = clock::now();
  return fix_due(now) <= now;
}

time_point sleep_operation::fix_due(time_point now) noexcept {
  if (relative_) {
    time_ = add_saturated(now, time_).time_since_epoch();
    relative_ = false;
  }
  return due();
}

bool sleep_operation::arm_case(case_link link) noexcept {
  in_select_ = link.in;
  case_index_ = static_cast<std::uint32_t>(link.index);
  return arm_timer(*this, relative_ ? fix_due(clock::now()) : due());
}

void sleep_operation::fire() noexcept {
  if (!in_select_) {
    complete();
    return;
  }
  // The select does not go on before settle(): it retires the timer first.
  if (in_select_->claim(case_index_)) in_select_->fulfil(false);
  settle();
}

std::coroutine_handle<> sleep_operation::start(const await_context& context) noexcept {
  if (past_) {
    // Its budget is used up, or it is stopped. Not through the wheel, where it would wait for the next tick.
    bind(context);
    if (stop() && stop()->requested()) {
      complete_stopped();
    } else {
      complete();
    }
    return std::noop_coroutine();
  }
  // A cancellation may come before the timer is armed: then arm_timer says so, and the stop is ours to complete.
  if (begin(context) && !arm_timer(*this, due())) complete_stopped();
  return std::noop_coroutine();
}

std::coroutine_handle<> yield_operation::start(const await_context& context) noexcept {
  bind(context);
  if (stop() && stop()->requested()) {
    complete_stopped();
  } else if (always_) {
    this_worker->make_ready_last(frame());
  } else {
    schedule(frame());  // used up its budget: whoever was woken goes first, but trees of tasks keep their order
  }
  return std::noop_coroutine();
}

}  // namespace detail

interval::interval(duration period, missed_ticks policy, time_point first)
    : period_(period), policy_(policy), next_(first) {
  if (period <= duration::zero()) throw std::invalid_argument("weir::interval: the period must be positive");
}

time_point interval::advance() noexcept {
  const time_point due = next_;
  const time_point current = now();
  switch (policy_) {
    case missed_ticks::burst:
      next_ = detail::add_saturated(due, period_);
      break;
    case missed_ticks::delay:
      next_ = detail::add_saturated(current, period_);
      break;
    case missed_ticks::skip:
      next_ = detail::add_saturated(due, period_ * ((current - due) / period_ + 1));
      break;
  }
  return due;
}

}  // namespace weir
