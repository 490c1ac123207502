#pragma once

#include <cstdint>

#include "../runtime/clock.hpp"
#include "../runtime/detail/config.hpp"
#include "../sync/detail/domain_lock.hpp"

namespace weir {

struct retry_budget_options {
  double ratio = 0.1;           ///< retries for each call, on average; not negative
  double least_per_second = 1;  ///< retries that are allowed however few calls there are; not negative
  double most = 100;            ///< what may be saved up, and what there is at the beginning; at least 1
};

/// How many retries all callers of a service may make together. When a service fails for everybody, retries multiply
/// its load just when it can bear the least; with a budget they add `ratio` to it and no more. Share one among all
/// calls to the same service:
///
///     weir::retry_budget budget;
///     co_await weir::retry({.attempts = 4, .budget = &budget}, call);
///
/// A bucket of tokens: each call brings `ratio`, each retry takes one, each second brings `least_per_second`.
/// (Finagle's RetryBudget, and the client's retry budget of "Site Reliability Engineering", chapter 21, Google, 2016,
/// which gives the tenth.) Any task of any runtime may use it, unless it was made on a confined worker. Allocates
/// nothing; O(1).
class retry_budget {
 public:
  /// Throws std::invalid_argument when the options make no sense.
  explicit retry_budget(const retry_budget_options& options = {});
  retry_budget(const retry_budget&) = delete;
  retry_budget& operator=(const retry_budget&) = delete;

  /// A call, not a retry, is made.
  void deposit() noexcept;
  /// Takes one retry; false when there is none left.
  [[nodiscard]] bool try_withdraw() noexcept;

  /// Retries that could be made now.
  [[nodiscard]] std::uint64_t available() noexcept;

 private:
  void refill() noexcept;

  const retry_budget_options options_;
  detail::domain_lock lock_;
  double tokens_;      // guarded by lock_
  time_point filled_;  // the same
};

}  // namespace weir
