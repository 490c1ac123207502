#include "retry.hpp"

#include <algorithm>
#include <stdexcept>

#include "../runtime/current.hpp"
#include "call_refused.hpp"
#include "detail/random_duration.hpp"

namespace weir::detail {
namespace {

duration hint_of(const std::exception_ptr& error) noexcept {
  try {
    std::rethrow_exception(error);
  } catch (const retry_hint& hint) {
    return std::max(hint.retry_after(), duration::zero());
  } catch (...) {
    return duration::zero();
  }
}

duration times(duration length, double factor, duration most) noexcept {
  const double product = static_cast<double>(length.count()) * factor;
  if (product >= static_cast<double>(most.count())) return most;
  return duration(static_cast<duration::rep>(product));
}

}  // namespace

retry_options checked(const retry_options& o) {
  const bool delays = o.initial_delay >= duration::zero() && o.max_delay >= duration::zero();
  if (o.attempts == 0 || !delays || !(o.multiplier >= 1)) {
    throw std::invalid_argument(
        "weir::retry: the options must have at least 1 attempt, no negative delay, and a multiplier of at least 1");
  }
  return o;
}

retry_course::retry_course(const retry_options& options, retry_tallies* tallies) noexcept
    : options_(options),
      tallies_(tallies),
      delay_(std::min(options.initial_delay, options.max_delay)),
      previous_(delay_) {
  if (options_.budget) options_.budget->deposit();
}

duration retry_course::next_pause() noexcept {
  const duration most = options_.max_delay;
  const duration delay = delay_;
  delay_ = times(delay, options_.multiplier, most);
  switch (options_.jitter) {
    case retry_jitter::none:
      return delay;
    case retry_jitter::full:
      return random_between(duration::zero(), delay);
    case retry_jitter::equal:
      return random_between(delay / 2, delay);
    case retry_jitter::proportional:
      return random_between(times(delay, 0.9, most), times(delay, 1.1, most));
    case retry_jitter::decorrelated:
      previous_ = random_between(std::min(options_.initial_delay, most), times(previous_, 3, most));
      return previous_;
  }
  return delay;
}

bool retry_course::failed(const std::exception_ptr& error, bool retryable, duration& pause) noexcept {
  ++attempts_;
  if (!retryable) return give_up(&retry_tallies::permanent);
  if (attempts_ >= options_.attempts) return give_up(&retry_tallies::exhausted);
  const duration hint = hint_of(error);
  if (hint > options_.max_delay) return give_up(&retry_tallies::too_late);
  pause = hint + std::min(next_pause(), options_.max_delay - hint);
  if (pause >= remaining()) return give_up(&retry_tallies::too_late);
  if (options_.budget && !options_.budget->try_withdraw()) return give_up(&retry_tallies::no_budget);
  count(&retry_tallies::retries);
  return true;
}

}  // namespace weir::detail
