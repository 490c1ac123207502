#pragma once

#include <type_traits>
#include <utility>

#include "operation.hpp"
#include "take.hpp"

namespace weir::detail {

/// What does not depend on the operation inside. A debugger finds the way inwards here.
class cancelling_scope_base : public boundary, public stoppable {
 public:
  cancelling_scope_base() = default;

 protected:
  ~cancelling_scope_base() = default;

  void request_stop(cancellation_cause cause) noexcept final { state_.request(cause); }
  void visit(wait_visitor& visitor) const final {
    if (const stoppable* inner = state_.inner()) inner->visit(visitor);
  }

  stop_state state_;
  environment env_;
};

/// A scope with a cancellation of its own around one operation: the base of with_timeout and with_cancellation. A stop
/// of the enclosing scope comes in through request_stop and goes on inwards; the scope's own source cancels through
/// cancel_inner(). Whichever is first decides whether the scope answers for the stop or passes it on.
template <class Op>
class cancelling_scope : public operation_base, public cancelling_scope_base {
 public:
  using value_type = operation_value_t<Op>;

  explicit cancelling_scope(Op&& inner) : inner_(std::move(inner)) {}
  cancelling_scope(cancelling_scope&& other) noexcept(std::is_nothrow_move_constructible_v<Op>)
      : operation_base(), cancelling_scope_base(), inner_(std::move(other.inner_)) {}

 protected:
  ~cancelling_scope() = default;

  void bind(const await_context& context) noexcept {
    frame = context.frame;
    outer = context.scope;
    outer_env_ = context.env;
    env_ = *context.env;
    env_.stop = &state_;
    state_.set_shared(is_shared(*env_.runtime));
    // Then nothing inside completes at once.
    if (outer_env_->is_stopped()) state_.request(outer_env_->stop->cause());
  }

  /// True when the inner operation completed at once: then the scope need not even be entered.
  bool inner_ready() { return inner_.ready(inner_context()); }

  /// From here on a stop of the enclosing scope reaches this one.
  void enter() noexcept {
    entered_ = true;
    env_.deadline =
        outer_env_->deadline;  // a scope around this one in the same expression has set its own after bind()
    if (outer_env_->stop && !outer_env_->stop->arm(*this)) state_.request(outer_env_->stop->cause());
  }

  std::coroutine_handle<> start_inner() {
    set_current_environment(&env_);
    return inner_.start(inner_context());
  }

  /// When it returns, no stop comes in from the enclosing scope. True the first time.
  bool leave_outer() noexcept {
    if (!detail::take(entered_)) return false;
    if (outer_env_->stop) outer_env_->stop->disarm(*this);
    // Not the enclosing scope's: in the same expression that one has been left before.
    set_current_environment(frame->env);
    return true;
  }

  [[nodiscard]] await_context inner_context() noexcept { return {frame, this, &env_}; }

  Op inner_;

 private:
  environment* outer_env_ = nullptr;
  bool entered_ = false;
};

}  // namespace weir::detail
