#pragma once

#include <coroutine>
#include <type_traits>
#include <utility>

#include "local_value.hpp"
#include "operation.hpp"
#include "scheduler.hpp"

namespace weir::detail {

/// Runs an operation with these task_locals in place of those around it. They must outlive it.
template <class Op>
class [[nodiscard]] locals_operation : public operation_base {
 public:
  using value_type = operation_value_t<Op>;

  locals_operation(const local_value* locals, Op&& inner) noexcept(std::is_nothrow_move_constructible_v<Op>)
      : inner_(std::move(inner)), locals_(locals) {}
  locals_operation(locals_operation&& other) noexcept(std::is_nothrow_move_constructible_v<Op>)
      : operation_base(), inner_(std::move(other.inner_)), locals_(other.locals_) {}
  ~locals_operation() = default;

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

}  // namespace weir::detail
