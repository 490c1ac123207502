#pragma once

#include <cstdint>

#include "clock.hpp"
#include "detail/light_std.hpp"
#include "detail/operation.hpp"
#include "detail/selection.hpp"
#include "detail/timer.hpp"
#include "detail/wrapped_operation.hpp"

namespace weir {
namespace detail {

class [[nodiscard]] sleep_operation final : public operation_base, public leaf, private timer {
 public:
  using value_type = void;

  explicit sleep_operation(duration length) noexcept : relative_(true), time_(length) {}
  explicit sleep_operation(time_point due) noexcept : relative_(false), time_(due.time_since_epoch()) {}
  sleep_operation(const sleep_operation&) = default;
  ~sleep_operation() = default;

  bool ready(const await_context& context) noexcept;
  std::coroutine_handle<> start(const await_context& context) noexcept;
  void resume() noexcept { finish(); }
  result<void> resume_result() noexcept {
    finish();
    return result<void>(std::in_place);
  }
  [[nodiscard]] const char* name() const noexcept override { return "sleep"; }

  // The selectable protocol.
  bool try_commit() noexcept;
  bool arm_case(case_link link) noexcept;
  void withdraw_case() noexcept { retire_timer(*this); }
  [[nodiscard]] const void* case_object() const noexcept { return nullptr; }

 private:
  void fire() noexcept override;
  [[nodiscard]] time_point due() const noexcept { return time_point(time_); }
  time_point fix_due(time_point now) noexcept;
  void request_stop(cancellation_cause) noexcept override {
    if (cancel_timer(*this) == timer_cancel::removed) complete_stopped();
  }

  // There is one of these in the frame of each task that sleeps: the small members first, in the timer's last word.
  bool relative_ : 1;             // time_ is a length; otherwise when it is due
  bool past_ : 1 = false;         // it was time when it began
  std::uint32_t case_index_ = 0;  // in in_select_
  selection* in_select_ = nullptr;
  duration time_;
};

class [[nodiscard]] yield_operation final : public operation_base, public leaf {
 public:
  using value_type = void;
  explicit yield_operation(bool always) noexcept : always_(always) {}
  yield_operation(const yield_operation&) = default;
  ~yield_operation() = default;

  bool ready(const await_context& context) noexcept { return !always_ && may_complete_now(context); }
  std::coroutine_handle<> start(const await_context& context) noexcept;
  void resume() noexcept {}
  result<void> resume_result() noexcept { return result<void>(std::in_place); }
  [[nodiscard]] const char* name() const noexcept override { return always_ ? "yield" : "checkpoint"; }

 private:
  void request_stop(cancellation_cause) noexcept override {}  // it is in the run queue already
  bool always_;
};

}  // namespace detail

/// Completes when `length` has passed: never early, late by the time that the worker is busy. Zero and less complete at
/// once. Cancelled: stops at once. Selectable: counts from when the select begins. Allocates nothing; O(1).
template <class Rep, class Period>
auto sleep_for(std::chrono::duration<Rep, Period> length) noexcept {
  return detail::sleep_operation(detail::to_duration(length));
}

/// Completes at `due`, or at once when that has passed. Selectable.
inline auto sleep_until(time_point due) noexcept { return detail::sleep_operation(due); }

/// Lets everything that is ready on this worker now run first (in a simulation the seed decides). A cancelled task
/// stops here. Allocates nothing.
inline auto yield() noexcept { return detail::yield_operation(true); }

/// For long computations: stops here when the task is cancelled, yields when its budget is used up, and otherwise costs
/// a few instructions.
inline auto checkpoint() noexcept { return detail::yield_operation(false); }

/// What an interval does about ticks that came while nobody waited.
enum class missed_ticks : std::uint8_t {
  burst,  ///< deliver each of them, at once, until it has caught up
  delay,  ///< deliver one, and count the next period from then
  skip,   ///< deliver one, and go on with the next tick of the original schedule
};

/// Ticks at start, start + period, start + 2 periods, ...
///
///     weir::interval every{100ms};
///     for (;;) { co_await every.tick(); ... }
class interval {
 public:
  /// The first tick is due at once. `period` must be positive.
  template <class Rep, class Period>
  explicit interval(std::chrono::duration<Rep, Period> period, missed_ticks policy = missed_ticks::burst)
      : interval(detail::to_duration(period), policy, now()) {}
  interval(duration period, missed_ticks policy, time_point first);

  /// Completes at the next tick with the point in time for which that tick was due. Cancelled while it waits: the tick
  /// is not used up. Selectable: nor is it when another case is chosen. One awaiter at a time. Allocates nothing.
  class tick_operation;
  [[nodiscard]] tick_operation tick() noexcept WEIR_DETAIL_LIFETIMEBOUND;

  [[nodiscard]] duration period() const noexcept { return period_; }

 private:
  time_point advance() noexcept;

  duration period_;
  missed_ticks policy_;
  time_point next_;
};

class [[nodiscard]] interval::tick_operation final : public detail::wrapped_operation<detail::sleep_operation> {
 public:
  using value_type = time_point;

  explicit tick_operation(interval& owner) noexcept
      : wrapped_operation(detail::sleep_operation(owner.next_)), owner_(owner) {}

  time_point resume() noexcept {
    inner_.resume();
    return owner_.advance();
  }
  result<time_point> resume_result() noexcept { return result<time_point>(std::in_place, resume()); }

 private:
  interval& owner_;
};

inline interval::tick_operation interval::tick() noexcept { return tick_operation(*this); }

}  // namespace weir
