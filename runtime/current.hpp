#pragma once

#include "cancellation.hpp"
#include "clock.hpp"
#include "detail/scheduler.hpp"

namespace weir {

/// The token that the running task inherits: to poll it in a computation, or to register a cancellation_callback. Valid
/// while the innermost scope around the task lasts. Outside of tasks, and under shielded, a token that is never
/// cancelled. O(1).
inline cancellation_token current_token() noexcept {
  const detail::environment* env = detail::current_environment();
  return env ? cancellation_token(env->stop) : cancellation_token();
}

/// The nearest of all deadlines around the running task; time_point::max() when there is none.
inline time_point current_deadline() noexcept {
  const detail::environment* env = detail::current_environment();
  return env ? env->deadline : detail::no_deadline;
}

/// How long the running task has until current_deadline(): to pass it on to a retry or a remote call. Never negative;
/// duration::max() when there is no deadline.
inline duration remaining() noexcept {
  const time_point due = current_deadline();
  if (due == detail::no_deadline) return duration::max();
  const time_point current = now();
  return due > current ? due - current : duration::zero();
}

/// True in destructors that run because their task was stopped. std::uncaught_exceptions() does not tell that: a guard
/// that commits unless an exception is under way must ask here as well, or better, be told to commit explicitly.
inline bool unwinding() noexcept { return detail::is_unwinding(); }

}  // namespace weir
