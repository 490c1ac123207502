#include "with_cleanup.hpp"

#include "detail/group_core.hpp"

namespace weir::detail {

void cleanup_core::begin(const await_context& context) noexcept {
  frame = context.frame;
  outer = context.scope;
  outer_env_ = context.env;
}

void cleanup_core::end() noexcept { set_current_environment(frame->env); }

task<> cleanup_core::within(duration limit, task<> cleanup) { co_await with_timeout(limit, std::move(cleanup)); }

promise_base* cleanup_core::start_cleanup(std::exception_ptr exception, bool stopped) noexcept {
  outcome_.emplace(std::move(exception), stopped);
  shield_ = *outer_env_;
  shield_.stop = nullptr;
  shield_.deadline = no_deadline;
  set_current_environment(&shield_);
  try {
    cleanup_ = make_cleanup(*outcome_);
  } catch (...) {
    note_cleanup_failure(std::current_exception());
    return nullptr;
  }
  promise_base& root = cleanup_.root();
  root.env = &shield_;
  root.scope = &second_;
  second_.frame = frame;
  second_.outer = outer;
  return &root;
}

std::coroutine_handle<> cleanup_core::child_finished() noexcept {
  promise_base* cleanup = start_cleanup(inner_exception(), false);
  return cleanup ? cleanup->handle() : frame->handle();
}

boundary::verdict cleanup_core::stopped() noexcept {
  promise_base* cleanup = start_cleanup(nullptr, true);
  if (!cleanup) return verdict::propagate;
  schedule(*cleanup);
  return verdict::pending;
}

std::coroutine_handle<> cleanup_core::cleanup_finished() noexcept {
  if (std::exception_ptr exception = cleanup_.exception()) note_cleanup_failure(std::move(exception));
  cleanup_ = task<>();
  if (!outcome_->is_stopped()) return frame->handle();
  continue_unwinding({frame, outer});
  return std::noop_coroutine();
}

void cleanup_core::note_cleanup_failure(std::exception_ptr exception) noexcept {
  if (outcome_->has_value()) {
    cleanup_failure_ = std::move(exception);
  } else {
    report_unobserved(exception);
  }
}

}  // namespace weir::detail
