#pragma once

#include <type_traits>
#include <utility>

#include "detail/operation.hpp"
#include "detail/stop_state.hpp"
#include "detail/take.hpp"

namespace weir {
namespace detail {

template <class Op>
class [[nodiscard]] shielded_operation final : public operation_base, public boundary, private stoppable {
 public:
  using value_type = operation_value_t<Op>;

  explicit shielded_operation(Op&& inner) : inner_(std::move(inner)) {}
  shielded_operation(shielded_operation&& other) noexcept(std::is_nothrow_move_constructible_v<Op>)
      : operation_base(), boundary(), inner_(std::move(other.inner_)) {}
  ~shielded_operation() = default;

  bool ready(const await_context& context) {
    frame = context.frame;
    outer = context.scope;
    outer_stop_ = context.env->stop;
    env_ = *context.env;
    env_.stop = nullptr;
    env_.deadline = no_deadline;
    return inner_.ready({frame, this, &env_});
  }
  std::coroutine_handle<> start(const await_context&) {
    entered_ = outer_stop_ && outer_stop_->arm(*this);
    set_current_environment(&env_);
    return inner_.start({frame, this, &env_});
  }
  value_type resume() {
    leave();
    return inner_.resume();
  }
  result<value_type> resume_result() noexcept {
    leave();
    return inner_.resume_result();
  }
  // Nothing inside has a token of its own, so no stop arises here.
  verdict stopped() noexcept override { return verdict::propagate; }
  [[nodiscard]] const char* name() const noexcept override { return "shielded"; }

 private:
  void request_stop(cancellation_cause) noexcept override {}  // the next leaf will see it
  void visit(wait_visitor& visitor) const override { visitor.shielded(*frame); }
  void leave() noexcept {
    if (detail::take(entered_)) outer_stop_->disarm(*this);
    set_current_environment(frame->env);
  }

  Op inner_;
  environment env_;
  stop_state* outer_stop_ = nullptr;
  bool entered_ = false;  // reports find the strand in here
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
