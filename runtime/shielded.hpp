#pragma once

#include "detail/operation.hpp"

namespace weir {
namespace detail {

template <class Op>
class [[nodiscard]] shielded_operation final : public operation_base, public boundary {
 public:
  using value_type = operation_value_t<Op>;

  explicit shielded_operation(Op&& inner) : inner_(std::move(inner)) {}
  shielded_operation(shielded_operation&& other) noexcept(std::is_nothrow_move_constructible_v<Op>)
      : operation_base(), boundary(), inner_(std::move(other.inner_)) {}
  ~shielded_operation() = default;

  bool ready(const await_context& context) {
    frame = context.frame;
    outer = context.scope;
    env_ = *context.env;
    env_.stop = nullptr;
    env_.deadline = no_deadline;
    return inner_.ready({frame, this, &env_});
  }
  std::coroutine_handle<> start(const await_context&) {
    set_current_environment(&env_);
    return inner_.start({frame, this, &env_});
  }
  value_type resume() {
    set_current_environment(frame->env);
    return inner_.resume();
  }
  result<value_type> resume_result() noexcept {
    set_current_environment(frame->env);
    return inner_.resume_result();
  }
  // Nothing inside has a token of its own, so no stop arises here.
  verdict stopped() noexcept override { return verdict::propagate; }
  [[nodiscard]] const char* name() const noexcept override { return "shielded"; }

 private:
  Op inner_;
  environment env_;
};

}  // namespace detail

/// Runs `op` to its end, hidden from the token and deadline that the task inherits: for what must not be left half
/// done. Completes with what `op` completes with; afterwards a cancellation that came meanwhile is seen by the next
/// leaf. Give `op` a with_timeout of its own when it may take long. Allocates nothing.
template <detail::operation Op>
  requires(!std::is_lvalue_reference_v<Op>)
auto shielded(Op&& op) {
  return detail::shielded_operation<Op>(std::move(op));
}

}  // namespace weir
