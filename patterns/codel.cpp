#include "codel.hpp"

#include <cmath>
#include <mutex>
#include <stdexcept>

namespace weir {
namespace {

codel_options checked(const codel_options& o) {
  if (o.target <= duration::zero() || o.interval <= duration::zero()) {
    throw std::invalid_argument("weir: codel: target and interval must be positive");
  }
  return o;
}

}  // namespace

codel::codel(const codel_options& options) : options_(checked(options)) {}

/// The control law: throughput falls with the square root of the number of drops.
time_point codel::next_drop(time_point after) const noexcept {
  const double pause = static_cast<double>(options_.interval.count()) / std::sqrt(static_cast<double>(count_));
  return detail::add_saturated(after, duration(static_cast<duration::rep>(pause)));
}

bool codel::admit(duration waited, bool last_in_queue) noexcept {
  const time_point now = clock::now();
  const std::lock_guard guard(lock_);
  if (waited < options_.target || last_in_queue) {
    is_above_ = false;
    dropping_ = false;
    return true;
  }
  if (!is_above_) {
    is_above_ = true;
    first_above_time_ = detail::add_saturated(now, options_.interval);
  }
  if (now < first_above_time_) {
    dropping_ = false;
    return true;
  }
  if (dropping_) {
    if (now < drop_next_) return true;
    ++count_;
    drop_next_ = next_drop(drop_next_);
  } else {
    dropping_ = true;
    // When it has dropped a short time ago it goes on at the rate that was right then.
    const std::uint64_t delta = count_ - last_count_;
    const bool lately = now - drop_next_ < 16 * options_.interval;
    count_ = delta > 1 && lately ? delta : 1;
    drop_next_ = next_drop(now);
    last_count_ = count_;
  }
  ++dropped_;
  return false;
}

bool codel::dropping() noexcept {
  const std::lock_guard guard(lock_);
  return dropping_;
}

std::uint64_t codel::dropped() noexcept {
  const std::lock_guard guard(lock_);
  return dropped_;
}

}  // namespace weir
