#include "task_group.hpp"

namespace weir {

void task_group::begin(const detail::await_context& context) noexcept {
  frame = context.frame;
  outer = context.scope;
  open(*context.env);
  enter();
  detail::set_current_environment(&env_);
}

std::coroutine_handle<> task_group::body_ended() noexcept {
  if (const std::exception_ptr exception = body_exception()) {
    if (keep_failure(exception)) body_failure_kept_ = true;
    group_core::cancel();
  }
  waits_ = waits::scope;
  if (!drained_or_notify()) return std::noop_coroutine();
  return complete() ? frame->handle() : std::noop_coroutine();
}

bool task_group::complete() noexcept {
  leave();
  if (!cut_short_from_outside() || body_exception()) return true;
  if (first_failure()) detail::report_unobserved(first_failure());
  detail::continue_unwinding({frame, outer});
  return false;
}

bool task_group::before_unwinding(const detail::unwind_point& from) noexcept {
  // The body's locals stay alive until nobody refers to them any more.
  waits_ = waits::unwinding;
  unwinding_ = from;
  return drained_or_notify();
}

detail::boundary::verdict task_group::stopped() noexcept {
  leave();
  detail::set_current_environment(frame->env);
  body_stopped_ = true;
  if (cancelled_by_itself()) return verdict::handled;
  if (first_failure()) detail::report_unobserved(first_failure());
  return verdict::propagate;
}

detail::promise_base* task_group::drained(detail::optional_guard<detail::spin_lock>& guard) noexcept {
  const waits who = waits_;
  detail::group_join_operation* const joiner = std::exchange(joiner_, nullptr);
  if (who == waits::joiner && joiner->in_select_) {
    // Under the lock: a case that is not chosen may be taken back as soon as that is free.
    detail::selection& in = *joiner->in_select_.in;
    const bool chosen = joiner->in_select_.claim();
    guard.unlock();
    if (chosen) in.fulfil(false);
    return nullptr;
  }
  guard.unlock();
  switch (who) {
    case waits::joiner:
      joiner->complete();
      break;
    case waits::scope:
      return complete() ? frame : nullptr;
    case waits::unwinding:
      detail::continue_unwinding(unwinding_);
      break;
  }
  return nullptr;
}

void task_group::end() {
  if (detail::failure f = end_result()) f.rethrow();
}

detail::failure task_group::end_result() noexcept {
  leave();
  detail::set_current_environment(frame->env);
  if (first_failure() && !body_failure_kept_) {
    if (std::exception_ptr later = body_stopped_ ? nullptr : body_exception()) detail::report_unobserved(later);
    return detail::failure(first_failure());
  }
  if (body_stopped_) return detail::failure::cancellation(state().cause());
  return {};
}

namespace detail {

bool group_join_operation::ready(const await_context& context) noexcept {
  return group_.size() == 0 && may_complete_now(context);
}

std::coroutine_handle<> group_join_operation::start(const await_context& context) noexcept {
  if (!begin(context)) return std::noop_coroutine();
  optional_guard guard(group_.lock_, group_.shared_);
  if (withdrawn_) {
    guard.unlock();
    complete_stopped();
    return std::noop_coroutine();
  }
  group_.waits_ = task_group::waits::joiner;
  if (group_.drained_or_notify_locked()) {
    guard.unlock();
    complete();
    return std::noop_coroutine();
  }
  group_.joiner_ = this;
  return std::noop_coroutine();
}

void group_join_operation::request_stop(cancellation_cause) noexcept {
  optional_guard guard(group_.lock_, group_.shared_);
  if (!leave_group()) {
    withdrawn_ = true;  // it has been completed, or start() has still to look
    return;
  }
  guard.unlock();
  complete_stopped();
}

bool group_join_operation::leave_group() noexcept {
  if (group_.joiner_ != this) return false;
  group_.joiner_ = nullptr;
  group_.forget_notification();
  return true;
}

bool group_join_operation::try_commit() noexcept { return group_.size() == 0; }

bool group_join_operation::arm_case(case_link link) noexcept {
  in_select_ = link;
  const optional_guard guard(group_.lock_, group_.shared_);
  group_.waits_ = task_group::waits::joiner;
  if (group_.drained_or_notify_locked()) return false;
  group_.joiner_ = this;
  return true;
}

void group_join_operation::withdraw_case() noexcept {
  const optional_guard guard(group_.lock_, group_.shared_);
  static_cast<void>(leave_group());
}

}  // namespace detail
}  // namespace weir
