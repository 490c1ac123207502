#include "when_all.hpp"
#include "when_any.hpp"

namespace weir::detail {

namespace {

/// The caller must not touch the group after this: the first child may already be on its way to end it.
std::coroutine_handle<> handle_of(promise_base& root) noexcept { return root.handle(); }

}  // namespace

void all_core::begin(const await_context& context) noexcept {
  frame_ = context.frame;
  scope_ = context.scope;
  open(*context.env);
  enter();
}

std::coroutine_handle<> all_core::run(strand& first, promise_base& root) noexcept {
  add_running(first, root);
  static_cast<void>(drained_or_notify());  // the first one is still to run
  return handle_of(root);
}

promise_base* all_core::drained(optional_guard<spin_lock>& guard) noexcept {
  guard.unlock();
  leave();
  if (complete()) return frame_;
  if (cancelled_by_itself()) return frame_;
  if (first_failure()) report_unobserved(first_failure());
  continue_unwinding({frame_, scope_});
  return nullptr;
}

failure all_core::end() noexcept {
  if (frame_) set_current_environment(frame_->env);  // not begun when there was nothing to run
  if (first_failure()) return failure(first_failure());
  return {};
}

void any_core::begin(const await_context& context) noexcept {
  frame_ = context.frame;
  scope_ = context.scope;
  open(*context.env);
  enter();
}

std::coroutine_handle<> any_core::run(strand& first, promise_base& root) noexcept {
  add_running(first, root);
  static_cast<void>(drained_or_notify());
  return handle_of(root);
}

bool any_core::child_ended(strand& child, bool stopped) noexcept {
  if (stopped || winner_) return false;
  winner_ = &child;
  return true;
}

promise_base* any_core::drained(optional_guard<spin_lock>& guard) noexcept {
  guard.unlock();
  leave();
  if (winner_) return frame_;
  continue_unwinding({frame_, scope_});
  return nullptr;
}

void any_core::end() noexcept { set_current_environment(frame_->env); }

}  // namespace weir::detail
