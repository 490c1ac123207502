#include "circuit_breaker.hpp"

#include <algorithm>
#include <chrono>
#include <mutex>
#include <stdexcept>

#include <fmt/format.h>

#include "../runtime/errors.hpp"

namespace weir {
namespace {

circuit_breaker_options checked(const circuit_breaker_options& o, unsigned most_slices) {
  const bool rules = o.failure_ratio > 0 && o.least_calls >= 1 && o.trials >= 1;
  const bool window = o.slices >= 1 && o.slices <= most_slices && o.window >= duration(o.slices);
  if (!rules || !window || o.slow < duration::zero() || o.open_for < duration::zero()) {
    throw std::invalid_argument(
        "weir: circuit_breaker: the options must have failure_ratio > 0, at least 1 of least_calls and trials, 1 to 16 "
        "slices, a window that can be cut into them, and no negative slow or open_for");
  }
  return o;
}

}  // namespace

const char* to_string(circuit_state state) noexcept {
  switch (state) {
    case circuit_state::closed:
      return "closed";
    case circuit_state::open:
      return "open";
    case circuit_state::half_open:
      return "half-open";
  }
  return "?";
}

void circuit_permit::end(outcome how) noexcept {
  if (owner_) std::exchange(owner_, nullptr)->end(*this, how);
}

circuit_breaker::circuit_breaker(std::string name, const circuit_breaker_options& options)
    : name_(std::move(name)),
      options_(checked(options, most_slices)),
      slice_length_(options.window / options.slices),
      since_(clock::now()) {}

void circuit_breaker::on_state_change(state_callback callback) { on_change_ = std::move(callback); }
void circuit_breaker::count_as_failure(std::function<bool(const std::exception_ptr&)> predicate) {
  is_failure_ = std::move(predicate);
}

circuit_permit circuit_breaker::enter() {
  const time_point now = clock::now();
  bool admitted = false;
  bool news = false;
  std::uint64_t generation = 0;
  circuit_state seen{};
  duration left{};
  {
    const std::lock_guard guard(lock_);
    refresh(now);
    const bool trial = state_ == circuit_state::half_open && trials_begun_ < options_.trials;
    admitted = trial || state_ == circuit_state::closed;
    if (trial) ++trials_begun_;
    if (!admitted) ++stats_.refused;
    seen = state_;
    if (seen == circuit_state::open) left = detail::add_saturated(since_, options_.open_for) - now;
    generation = generation_;
    news = !changes_.empty();
  }
  if (news) tell();
  if (admitted) return {*this, now, generation};
  if (seen == circuit_state::open) {
    const auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(left).count();
    throw circuit_open(fmt::format("weir: the circuit of {} is open for another {} ms", name_, milliseconds), left);
  }
  throw circuit_open(
      fmt::format("weir: the circuit of {} is half-open, and its {} trial calls are at work", name_, options_.trials));
}

circuit_state circuit_breaker::state() noexcept {
  const time_point now = clock::now();
  bool news = false;
  circuit_state seen{};
  {
    const std::lock_guard guard(lock_);
    refresh(now);
    seen = state_;
    news = !changes_.empty();
  }
  if (news) tell();
  return seen;
}

circuit_stats circuit_breaker::stats() noexcept {
  const std::lock_guard guard(lock_);
  return stats_;
}

void circuit_breaker::reset() noexcept {
  {
    const std::lock_guard guard(lock_);
    change_to(circuit_state::closed, clock::now());
  }
  tell();
}

void circuit_breaker::trip() noexcept {
  {
    const std::lock_guard guard(lock_);
    change_to(circuit_state::open, clock::now());
  }
  tell();
}

void circuit_breaker::judge(const std::exception_ptr& error, circuit_permit& permit) const noexcept {
  try {
    std::rethrow_exception(error);
  } catch (const call_refused&) {
    return;
  } catch (const cancelled&) {
    return;
  } catch (...) {
    if (is_failure_ && !is_failure_(error)) return permit.succeeded();
  }
  permit.failed();
}

void circuit_breaker::end(circuit_permit& permit, circuit_permit::outcome how) noexcept {
  using outcome = circuit_permit::outcome;
  const time_point now = clock::now();
  bool news = false;
  {
    const std::lock_guard guard(lock_);
    if (how == outcome::success && options_.slow > duration::zero() && now - permit.since_ > options_.slow) {
      ++stats_.slow;
      how = outcome::failure;
    }
    ++(how == outcome::success ? stats_.succeeded : how == outcome::failure ? stats_.failed : stats_.ignored);
    if (permit.generation_ != generation_) return;
    if (state_ == circuit_state::closed) {
      if (how != outcome::ignored) count(now, how == outcome::failure);
    } else if (how == outcome::ignored) {
      --trials_begun_;
    } else if (how == outcome::failure) {
      change_to(circuit_state::open, now);
    } else if (++trials_well_ == options_.trials) {
      change_to(circuit_state::closed, now);
    }
    news = !changes_.empty();
  }
  if (news) tell();
}

void circuit_breaker::refresh(time_point now) noexcept {
  if (state_ == circuit_state::open && now >= detail::add_saturated(since_, options_.open_for)) {
    change_to(circuit_state::half_open, now);
  }
}

void circuit_breaker::move_on(time_point now) noexcept {
  const auto slices_since = static_cast<std::uint64_t>(std::max(duration::rep{0}, (now - since_) / slice_length_));
  for (unsigned i = 0; newest_ < slices_since && i < options_.slices; ++i) slices_[++newest_ % options_.slices] = {};
  newest_ = std::max(newest_, slices_since);
}

void circuit_breaker::count(time_point now, bool failure) noexcept {
  move_on(now);
  slice& current = slices_[newest_ % options_.slices];
  ++current.calls;
  if (!failure) {
    in_a_row_ = 0;
    return;
  }
  ++current.failures;
  ++in_a_row_;
  if (must_open()) change_to(circuit_state::open, now);
}

bool circuit_breaker::must_open() const noexcept {
  if (options_.consecutive_failures != 0 && in_a_row_ >= options_.consecutive_failures) return true;
  slice sum;
  for (const slice& one : slices_) {
    sum.calls += one.calls;
    sum.failures += one.failures;
  }
  // A quotient: 7 of 100 is 0.07 as it is written in the options, while 0.07 times 100 is a little more than 7.
  return sum.calls >= options_.least_calls &&
         static_cast<double>(sum.failures) / static_cast<double>(sum.calls) >= options_.failure_ratio;
}

void circuit_breaker::change_to(circuit_state next, time_point now) noexcept {
  if (on_change_ && next != state_) changes_.push_back({state_, next});
  if (next == circuit_state::open) ++stats_.opened;
  state_ = next;
  since_ = now;
  ++generation_;
  slices_ = {};
  newest_ = 0;
  in_a_row_ = 0;
  trials_begun_ = 0;
  trials_well_ = 0;
}

void circuit_breaker::tell() noexcept {
  {
    const std::lock_guard guard(lock_);
    if (std::exchange(telling_, true)) return;  // whoever is at it will find it
  }
  for (;;) {
    change next{};
    {
      const std::lock_guard guard(lock_);
      if (changes_.empty()) {
        telling_ = false;
        return;
      }
      next = changes_.front();
      changes_.erase(changes_.begin());
    }
    on_change_(name_, next.from, next.to);
  }
}

}  // namespace weir
