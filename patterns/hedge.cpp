#include "hedge.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace weir {
namespace {

constexpr std::size_t window = 512;
constexpr std::size_t between_looks = 32;

hedge_history_options checked(const hedge_history_options& o) {
  if (!(o.percentile > 0 && o.percentile < 1 && o.extra >= 0 && o.extra <= 1 && o.burst >= 1 && o.fewest <= window)) {
    throw std::invalid_argument(
        "weir: hedge_history: the options must have 0 < percentile < 1, 0 <= extra <= 1, burst >= 1 and "
        "fewest <= 512");
  }
  return o;
}

}  // namespace

hedge_history::hedge_history(const hedge_history_options& options)
    : options_(checked(options)), latest_(window), scratch_(window), tokens_(options.burst) {}

duration hedge_history::delay(duration otherwise) const {
  const std::lock_guard guard(mutex_);
  return noted_ < options_.fewest || noted_ == 0 ? otherwise : percentile_;
}

hedge_stats hedge_history::stats() const {
  const std::lock_guard guard(mutex_);
  return stats_;
}

void hedge_history::note_call() {
  const std::lock_guard guard(mutex_);
  ++stats_.calls;
  tokens_ = std::min(options_.burst, tokens_ + options_.extra);
}

void hedge_history::note_latency(duration took) {
  const std::lock_guard guard(mutex_);
  latest_[noted_++ % window] = took;
  // While there are few each one matters.
  if (noted_ > between_looks && noted_ % between_looks != 0) return;
  const std::size_t known = std::min(noted_, window);
  const auto end = std::copy_n(latest_.begin(), known, scratch_.begin());
  const double rank = std::ceil(options_.percentile * static_cast<double>(known));  // from 1
  const auto at = scratch_.begin() + static_cast<std::ptrdiff_t>(rank) - 1;
  std::nth_element(scratch_.begin(), at, end);
  percentile_ = *at + duration(1);  // longer than it, and not as long
}

bool hedge_history::allow_extra() {
  const std::lock_guard guard(mutex_);
  if (tokens_ < 1) {
    ++stats_.refused;
    return false;
  }
  tokens_ -= 1;
  ++stats_.extra;
  return true;
}

void hedge_history::note_won() {
  const std::lock_guard guard(mutex_);
  ++stats_.won;
}

void detail::require_hedge(const hedge_options& options) {
  if (options.most == 0 || options.after < duration::zero()) {
    throw std::invalid_argument("weir::hedge: at least one request, and no negative delay");
  }
}

}  // namespace weir
