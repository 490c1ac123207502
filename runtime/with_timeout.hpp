#pragma once

#include "clock.hpp"
#include "detail/light_std.hpp"
#include "detail/scope.hpp"
#include "detail/slot.hpp"
#include "detail/timer.hpp"
#include "errors.hpp"

namespace weir {

namespace detail {

template <class Op>
class [[nodiscard]] timeout_operation final : public cancelling_scope<Op>, private timer {
 public:
  using typename cancelling_scope<Op>::value_type;

  timeout_operation(duration length, Op&& inner) : cancelling_scope<Op>(std::move(inner)), length_(length) {}
  timeout_operation(time_point due, Op&& inner) : cancelling_scope<Op>(std::move(inner)) { due_.emplace(due); }
  timeout_operation(timeout_operation&&) = default;
  ~timeout_operation() = default;

  bool ready(const await_context& context) {
    this->bind(context);
    return this->inner_ready();
  }

  std::coroutine_handle<> start(const await_context&) {
    this->enter();
    const time_point due = due_ ? *due_ : deadline_after(length_);
    this->env_.deadline = std::min(this->env_.deadline, due);
    if (due_ ? due <= clock::now() : length_ <= duration::zero()) {
      fire();
    } else if (due != no_deadline) {
      arm_timer(*this, due);
      armed_ = true;
    }
    return this->start_inner();
  }

  value_type resume() {
    leave();
    if (expired_stop_) throw timed_out();
    return this->inner_.resume();
  }
  result<value_type> resume_result() noexcept {
    leave();
    if (expired_stop_) return failure::timeout();
    return this->inner_.resume_result();
  }

  boundary::verdict stopped() noexcept override {
    leave();
    expired_stop_ = expired_first_;
    return expired_stop_ ? boundary::verdict::handled : boundary::verdict::propagate;
  }
  [[nodiscard]] const char* name() const noexcept override { return "with_timeout"; }

 private:
  void fire() noexcept override {
    if (this->state_.request(cancellation_cause::deadline)) expired_first_ = true;
    settle();
  }
  void leave() noexcept {
    if (!this->leave_outer()) return;
    if (armed_) retire_timer(*this);
  }

  duration length_{};
  slot<time_point> due_;
  bool armed_ = false;
  bool expired_first_ = false;  // the deadline came before a stop from outside; read after the timer was retired
  bool expired_stop_ = false;   // and the inner operation stopped for it
};

}  // namespace detail

/// Runs `op` (a task or any operation) for at most `length`; completes with what it completes with. When the time runs
/// out first, `op` is stopped, and once that is done timed_out is thrown. A value that comes late all the same is
/// delivered. A length of zero or less has run out at once, but `op` still runs up to its first leaf, and completes
/// when it is a leaf itself that need not wait.
///
/// A second and more is counted in ticks of the kernel's clock, rounded up: it may take up to 8 ms longer (two ticks;
/// with kernels of 100 Hz 20 ms), except in a simulation.
///
/// Cancellation from outside stops `op` and goes past. Nested: the nearer deadline wins. Allocates nothing; O(1).
template <class Rep, class Period, detail::operation Op>
  requires(!std::is_lvalue_reference_v<Op>)
auto with_timeout(std::chrono::duration<Rep, Period> length, Op&& op) {
  return detail::timeout_operation<Op>(detail::to_duration(length), std::move(op));
}

/// The same with a point in time.
template <detail::operation Op>
  requires(!std::is_lvalue_reference_v<Op>)
auto with_deadline(time_point due, Op&& op) {
  return detail::timeout_operation<Op>(due, std::move(op));
}

}  // namespace weir
