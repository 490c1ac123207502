#pragma once

#include <coroutine>
#include <type_traits>
#include <utility>

#include "../../runtime/detail/local_value.hpp"
#include "../../runtime/detail/operation.hpp"
#include "../../runtime/detail/scheduler.hpp"

// Jobs run in the tasks of workers, but see the task_locals of who submitted them.

namespace weir::detail {

/// Runs an operation with these task_locals in place of those around it. They must outlive it.
template <class Op>
class [[nodiscard]] in_locals_operation final : public operation_base {
 public:
  using value_type = operation_value_t<Op>;

  in_locals_operation(const local_value* locals, Op&& inner) noexcept(std::is_nothrow_move_constructible_v<Op>)
      : inner_(std::move(inner)), locals_(locals) {}
  in_locals_operation(in_locals_operation&& other) noexcept(std::is_nothrow_move_constructible_v<Op>)
      : operation_base(), inner_(std::move(other.inner_)), locals_(other.locals_) {}

  bool ready(const await_context& context) {
    frame_ = context.frame;
    env_ = *context.env;
    env_.locals = locals_;
    return inner_.ready({frame_, context.scope, &env_});
  }
  std::coroutine_handle<> start(const await_context& context) {
    env_.deadline = context.env->deadline;  // a scope around this one has set its own after ready()
    set_current_environment(&env_);
    return inner_.start({frame_, context.scope, &env_});
  }
  value_type resume() {
    set_current_environment(frame_->env);
    return inner_.resume();
  }
  result<value_type> resume_result() noexcept {
    set_current_environment(frame_->env);
    return inner_.resume_result();
  }

 private:
  Op inner_;
  const local_value* locals_;
  promise_base* frame_ = nullptr;
  environment env_;
};

template <operation Op>
  requires(!std::is_lvalue_reference_v<Op>)
auto in_locals(const local_value* locals, Op&& op) {
  return in_locals_operation<Op>(locals, std::move(op));
}

/// The same for a function that is called by the running task, as long as this lives.
class worn_locals {
 public:
  explicit worn_locals(const local_value* locals) noexcept : before_(current_environment()), env_(*before_) {
    env_.locals = locals;
    set_current_environment(&env_);
  }
  worn_locals(const worn_locals&) = delete;
  worn_locals& operator=(const worn_locals&) = delete;
  ~worn_locals() { set_current_environment(before_); }

 private:
  environment* before_;
  environment env_;
};

}  // namespace weir::detail
