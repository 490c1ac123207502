#include "concurrency_limiter.hpp"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <stdexcept>

namespace weir {
namespace {

concurrency_options checked(const concurrency_options& o) {
  const bool bounds = o.least >= 1 && o.least <= o.initial && o.initial <= o.most && o.most <= 1'000'000'000;
  const bool steps = o.decrease > 0 && o.decrease < 1 && o.tolerance >= 1;
  if (!bounds || !steps || o.slow.count() < 0) {
    throw std::invalid_argument(
        "weir: concurrency_limiter: the options must have 1 <= least <= initial <= most <= 1e9, 0 < decrease < 1, "
        "tolerance >= 1, and no negative slow");
  }
  return o;
}

}  // namespace

concurrency_limiter::concurrency_limiter(const concurrency_options& options)
    : options_(checked(options)),
      limit_(static_cast<double>(options.initial)),
      whole_(options.initial),
      permits_(options.initial) {}

concurrency_permit concurrency_limiter::try_acquire() noexcept {
  semaphore_permit held = permits_.try_acquire();
  if (!held) return {};
  return {*this, std::move(held)};
}

std::size_t concurrency_limiter::limit() noexcept {
  const std::lock_guard guard(lock_);
  return whole_;
}

std::size_t concurrency_limiter::in_flight() noexcept {
  const std::lock_guard guard(lock_);
  return whole_ + owed_ - permits_.available();
}

void concurrency_limiter::move_to(double wanted) noexcept {
  limit_ = std::clamp(wanted, static_cast<double>(options_.least), static_cast<double>(options_.most));
  const auto whole = static_cast<std::size_t>(limit_);
  while (whole_ < whole) {
    ++whole_;
    if (owed_ > 0) {
      --owed_;
    } else {
      permits_.release();
    }
  }
  while (whole_ > whole) {
    --whole_;
    if (permits_.try_acquire().forget() == 0) ++owed_;
  }
}

void concurrency_limiter::sample(duration took, bool overload) noexcept {
  const std::lock_guard guard(lock_);
  const std::size_t busy = whole_ + owed_ - permits_.available();
  if (overload || (options_.slow.count() != 0 && took > options_.slow)) {
    probing_ = 0;
    move_to(limit_ * options_.decrease);
    return;
  }
  if (options_.control == concurrency_control::aimd) {
    // While less than half of it is used, nothing is said about the rest.
    if (busy * 2 >= whole_) move_to(limit_ + 1 / limit_);
    return;
  }
  round_sum_ += std::max(1.0, static_cast<double>(took.count()));
  round_busy_ = std::max(round_busy_, busy);
  constexpr std::size_t fewest = 10;
  if (++round_count_ < std::max(whole_, fewest)) return;
  const double latency = round_sum_ / static_cast<double>(round_count_);
  const bool used = round_busy_ * 2 >= whole_;
  round_sum_ = 0;
  round_count_ = round_busy_ = 0;
  end_round(latency, used);
}

void concurrency_limiter::end_round(double latency, bool used) noexcept {
  constexpr unsigned rounds_between_probes = 256;
  constexpr double smoothing = 0.2;
  if (probing_ != 0) {
    // Until no more are at work than the lower limit allows, and then for two rounds: the calls that end in the first
    // were begun when there was a queue.
    if (owed_ > 0 || --probing_ != 0) return;
    // When that was much faster there had been a queue all the time: it goes on from here, and looks again.
    constexpr double much = 0.8;
    const bool faster = latency < without_queue_ * much;
    without_queue_ = latency;
    if (faster) {
      begin_probe();
    } else {
      move_to(limit_before_probe_);
    }
    return;
  }
  const bool first = without_queue_ == 0;
  if (!used || first || latency < without_queue_) without_queue_ = latency;
  if (!used) return;
  const double gradient = std::clamp(options_.tolerance * without_queue_ / latency, 0.5, 1.0);
  const double wanted = limit_ * gradient + std::sqrt(limit_);
  move_to(limit_ * (1 - smoothing) + wanted * smoothing);
  if (++rounds_ % rounds_between_probes == 0 || first) begin_probe();
}

void concurrency_limiter::begin_probe() noexcept {
  limit_before_probe_ = limit_;
  probing_ = 3;
  move_to(limit_ / 4);
}

void concurrency_limiter::give_back(semaphore_permit& held) noexcept {
  {
    const std::lock_guard guard(lock_);
    if (owed_ > 0) {
      --owed_;
      held.forget();
    }
  }
  held.release();
}

void concurrency_permit::succeeded() noexcept {
  if (!owner_) return;
  owner_->sample(clock::now() - since_, false);
  release();
}

void concurrency_permit::overloaded() noexcept {
  if (!owner_) return;
  owner_->sample(clock::now() - since_, true);
  release();
}

void concurrency_permit::release() noexcept {
  if (concurrency_limiter* const owner = std::exchange(owner_, nullptr)) owner->give_back(held_);
}

}  // namespace weir
