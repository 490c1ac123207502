#pragma once

#include "cancellation.hpp"
#include "detail/scope.hpp"

namespace weir {
namespace detail {

template <class Op>
class [[nodiscard]] with_cancellation_operation final : public cancelling_scope<Op>,
                                                        private callback_node,
                                                        private message {
 public:
  using typename cancelling_scope<Op>::value_type;

  with_cancellation_operation(cancellation_token token, Op&& inner)
      : cancelling_scope<Op>(std::move(inner)), token_(token) {}
  with_cancellation_operation(with_cancellation_operation&& other) noexcept(std::is_nothrow_move_constructible_v<Op>)
      : cancelling_scope<Op>(static_cast<cancelling_scope<Op>&&>(other)), token_(other.token_) {}
  ~with_cancellation_operation() = default;

  bool ready(const await_context& context) {
    this->bind(context);
    if (token_.is_cancellation_requested()) {
      token_cause_ = token_.cause();
      deliver();
    }
    return this->inner_ready();
  }
  std::coroutine_handle<> start(const await_context&) {
    this->enter();
    if (token_.state_) token_.state_->add(*this);
    return this->start_inner();
  }
  value_type resume() {
    leave();
    if (own_stop_) throw cancelled(token_cause_);
    return this->inner_.resume();
  }
  result<value_type> resume_result() noexcept {
    leave();
    if (own_stop_) return failure::cancellation(token_cause_);
    return this->inner_.resume_result();
  }
  boundary::verdict stopped() noexcept override {
    leave();
    own_stop_ = own_first_;
    return own_stop_ ? boundary::verdict::handled : boundary::verdict::propagate;
  }
  [[nodiscard]] const char* name() const noexcept override { return "with_cancellation"; }

 private:
  void invoke(cancellation_cause cause) noexcept override {
    token_cause_ = cause;
    const runtime_core& runtime = *this->env_.runtime;
    if (is_shared(runtime) || on_worker_of(runtime)) {
      deliver();
    } else {
      posted_ = true;
      post(first_worker(*this->env_.runtime), *this);
    }
  }
  void deliver() noexcept override {
    delivered_ = true;
    if (this->state_.request(token_cause_)) own_first_ = true;
  }
  void leave() noexcept {
    if (!this->leave_outer()) return;
    if (token_.state_) cancellation_state::remove(*token_.state_, *this);
    if (posted_ && !delivered_) drain_inbox();
  }

  cancellation_token token_;
  cancellation_cause token_cause_ = cancellation_cause::requested;
  bool posted_ = false;     // written before remove() returns
  bool delivered_ = false;  // on the worker
  bool own_first_ = false;
  bool own_stop_ = false;
};

}  // namespace detail

/// Runs `op` under `token` as well as under what the task inherits. When the token is cancelled, `op` is stopped and,
/// once that is done, `cancelled` is thrown. A value that comes late all the same is delivered. The token's source must
/// outlive this. A cancellation from outside goes past. Allocates nothing; O(1).
template <detail::operation Op>
  requires(!std::is_lvalue_reference_v<Op>)
auto with_cancellation(cancellation_token token, Op&& op) {
  return detail::with_cancellation_operation<Op>(token, std::move(op));
}

}  // namespace weir
