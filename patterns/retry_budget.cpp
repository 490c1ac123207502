#include "retry_budget.hpp"

#include <algorithm>
#include <mutex>
#include <stdexcept>

namespace weir {
namespace {

retry_budget_options checked(const retry_budget_options& o) {
  if (!(o.ratio >= 0) || !(o.least_per_second >= 0) || !(o.most >= 1)) {
    throw std::invalid_argument(
        "weir: retry_budget: the options must have no negative ratio or least_per_second, and most >= 1");
  }
  return o;
}

}  // namespace

retry_budget::retry_budget(const retry_budget_options& options)
    : options_(checked(options)), tokens_(options.most), filled_(clock::now()) {}

void retry_budget::refill() noexcept {
  const time_point now = clock::now();
  const double seconds = std::max(0.0, std::chrono::duration<double>(now - filled_).count());
  filled_ = now;
  tokens_ = std::min(options_.most, tokens_ + seconds * options_.least_per_second);
}

void retry_budget::deposit() noexcept {
  const std::lock_guard guard(lock_);
  tokens_ = std::min(options_.most, tokens_ + options_.ratio);
}

bool retry_budget::try_withdraw() noexcept {
  const std::lock_guard guard(lock_);
  refill();
  // Ten tenths are a little less than one.
  constexpr double one = 1 - 1e-9;
  if (tokens_ < one) return false;
  tokens_ = std::max(0.0, tokens_ - 1);
  return true;
}

std::uint64_t retry_budget::available() noexcept {
  const std::lock_guard guard(lock_);
  refill();
  return static_cast<std::uint64_t>(tokens_ + 1e-9);
}

}  // namespace weir
