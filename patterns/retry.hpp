#pragma once

#include <concepts>
#include <cstdint>
#include <exception>
#include <system_error>
#include <type_traits>
#include <utility>

#include "../runtime/as_result.hpp"
#include "../runtime/clock.hpp"
#include "../runtime/detail/config.hpp"
#include "../runtime/detail/invoke.hpp"
#include "../runtime/sleep.hpp"
#include "../runtime/task.hpp"
#include "detail/protected_call.hpp"
#include "detail/tally.hpp"
#include "is_transient.hpp"
#include "retry_budget.hpp"

namespace weir {

/// How a pause between two attempts is made random, so that those who failed together do not come back together.
enum class retry_jitter : std::uint8_t {
  none,
  /// Anything between nothing and the delay.
  full,
  /// Between half the delay and the delay.
  equal,
  /// The delay, more or less a tenth.
  proportional,
  /// Between initial_delay and three times the pause before; the multiplier plays no part.
  decorrelated,
};

struct retry_options {
  unsigned attempts = 3;                ///< calls in all, the first one included; at least 1
  duration initial_delay{100'000'000};  ///< before the second attempt
  duration max_delay{10'000'000'000};   ///< no pause is longer, jitter included
  double multiplier = 2;                ///< by which each delay is longer than the one before; at least 1
  retry_jitter jitter = retry_jitter::full;
  /// Shared with other callers; must outlive the call.
  retry_budget* budget = nullptr;
};
static_assert(detail::trivially_destructible<retry_options>);

/// What a retry_policy has done so far.
struct retry_stats {
  std::uint64_t calls = 0;      ///< of run(), those that were stopped included
  std::uint64_t retries = 0;    ///< attempts after the first
  std::uint64_t succeeded = 0;  ///< calls that came back with a value
  std::uint64_t permanent = 0;  ///< calls that failed with an error that is not to be retried
  std::uint64_t exhausted = 0;  ///< that failed at every attempt
  std::uint64_t no_budget = 0;  ///< that failed, and the budget had no retry left
  std::uint64_t too_late = 0;   ///< that failed, and the next attempt would have come too late
};

namespace detail {

struct retry_tallies {
  tally calls, retries, succeeded, permanent, exhausted, no_budget, too_late;
};

/// What one call with retries knows from one attempt to the next.
class retry_course {
 public:
  retry_course(const retry_options& options, retry_tallies* tallies) noexcept;

  void succeeded() noexcept { count(&retry_tallies::succeeded); }
  /// After an attempt that failed: whether there is to be a next one, and how long to pause before it.
  bool failed(const std::exception_ptr& error, bool retryable, duration& pause) noexcept;

 private:
  void count(tally retry_tallies::* which) noexcept {
    if (tallies_) (tallies_->*which).add();
  }
  bool give_up(tally retry_tallies::* why) noexcept {
    count(why);
    return false;
  }
  [[nodiscard]] duration next_pause() noexcept;

  const retry_options options_;
  retry_tallies* const tallies_;
  unsigned attempts_ = 0;
  duration delay_;     // without jitter
  duration previous_;  // pause
};

/// Throws std::invalid_argument when the options make no sense.
retry_options checked(const retry_options& options);

/// What tells which errors are to be retried: of the exception, or of its code.
template <class P>
concept error_predicate = std::predicate<P&, const std::exception_ptr&> || std::predicate<P&, std::error_code>;

template <error_predicate P, class T>
bool matches(P& predicate, const result<T>& failed, const std::exception_ptr& error) {
  if constexpr (std::predicate<P&, const std::exception_ptr&>) {
    return detail::invoke(predicate, error);
  } else {
    return detail::invoke(predicate, failed.error());
  }
}

struct transient_errors {
  bool operator()(const std::exception_ptr& error) const noexcept { return is_transient(error); }
};

template <class F, class P>
task<call_value_t<F>> call_with_retries(retry_options options, retry_tallies* tallies, P is_retryable, F function) {
  retry_course course(options, tallies);
  for (;;) {
    auto attempt = start_call(function);
    auto outcome = co_await as_result(std::move(attempt));
    if (outcome) {
      course.succeeded();
      co_return std::move(outcome).value();
    }
    const std::exception_ptr error = outcome.exception();
    duration pause{};
    if (!course.failed(error, matches(is_retryable, outcome, error), pause)) std::rethrow_exception(error);
    co_await sleep_for(pause);
  }
}

}  // namespace detail

/// Calls `function()`, which returns a task, an operation or a plain value, until it succeeds, and completes with what
/// it returned:
///
///     int n = co_await weir::retry({.attempts = 5, .initial_delay = 10ms, .max_delay = 1s}, call);
///
/// Only errors that may pass are retried: those for which is_transient() is true, or `is_retryable(error)`, which takes
/// a `const std::exception_ptr&` or a `std::error_code`. Everything else is thrown at once.
///
/// Pauses: initial_delay, multiplied each time, never more than max_delay. With jitter, which is on unless it is told
/// otherwise, a pause is random and still within max_delay. (Brooker, "Exponential Backoff And Jitter", Amazon, 2015,
/// compares full, equal and decorrelated jitter; full makes the fewest calls.) An error that derives from retry_hint
/// is believed: the pause is longer than what it says. In a simulation the seed decides.
///
/// Errors: the last one is thrown when all attempts have failed, when the budget has no retry left, and when the next
/// attempt would begin after the task's deadline, or later than max_delay because a hint says so. Then it does not
/// wait first. std::invalid_argument, from the call itself, when the options make no sense, such as 0 attempts.
///
/// Cancelled: the attempt, or the pause, stops, and the stop goes on. `function` is kept until the end; it is not
/// called again before the attempt before has ended. A frame, and another for an attempt that is no task.
template <detail::protectable F>
task<detail::call_value_t<std::decay_t<F>>> retry(const retry_options& options, F&& function) {
  WEIR_DETAIL_REQUIRE_NAMED(F);
  return detail::call_with_retries<std::decay_t<F>>(detail::checked(options), nullptr, detail::transient_errors(),
                                                    std::forward<F>(function));
}
template <class P, detail::protectable F>
  requires detail::error_predicate<std::decay_t<P>>
task<detail::call_value_t<std::decay_t<F>>> retry(const retry_options& options, P&& is_retryable, F&& function) {
  WEIR_DETAIL_REQUIRE_NAMED(P);
  WEIR_DETAIL_REQUIRE_NAMED(F);
  return detail::call_with_retries<std::decay_t<F>, std::decay_t<P>>(
      detail::checked(options), nullptr, std::forward<P>(is_retryable), std::forward<F>(function));
}

/// retry() as an object, to be kept, to be read, and to stand in a policy:
///
///     weir::retry_policy again({.attempts = 4});
///     auto answer = co_await again.run(call);
///
/// Any number of tasks may use it at once; it must outlive them.
template <detail::error_predicate P = detail::transient_errors>
class retry_policy {
 public:
  /// Throws std::invalid_argument when the options make no sense.
  explicit retry_policy(const retry_options& options, P is_retryable = P())
      : options_(detail::checked(options)), is_retryable_(std::move(is_retryable)) {}

  /// As retry().
  template <detail::protectable F>
  task<detail::call_value_t<std::decay_t<F>>> run(F&& function) WEIR_DETAIL_LIFETIMEBOUND {
    WEIR_DETAIL_REQUIRE_NAMED(F);
    tallies_.calls.add();
    return detail::call_with_retries<std::decay_t<F>, P>(options_, &tallies_, is_retryable_, std::forward<F>(function));
  }

  [[nodiscard]] retry_stats stats() const noexcept {
    return {tallies_.calls.read(),     tallies_.retries.read(),   tallies_.succeeded.read(), tallies_.permanent.read(),
            tallies_.exhausted.read(), tallies_.no_budget.read(), tallies_.too_late.read()};
  }

 private:
  retry_options options_;
  P is_retryable_;
  detail::retry_tallies tallies_;
};

}  // namespace weir
