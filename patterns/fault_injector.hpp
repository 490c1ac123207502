#pragma once

#include <cstdint>
#include <stdexcept>
#include <system_error>
#include <type_traits>
#include <utility>

#include "../runtime/cancellation.hpp"
#include "../runtime/clock.hpp"
#include "../runtime/detail/config.hpp"
#include "../runtime/sleep.hpp"
#include "../runtime/task.hpp"
#include "../runtime/with_cancellation.hpp"
#include "detail/protected_call.hpp"
#include "detail/random_duration.hpp"
#include "detail/tally.hpp"

namespace weir {

/// Rates are parts of all calls, 0 to 1, each independent of the others.
struct fault_options {
  double delays = 0;  ///< calls that begin late
  duration longest_delay{100'000'000};
  double errors = 0;  ///< calls that fail instead of being made
  std::errc error = std::errc::connection_reset;
  double cancellations = 0;  ///< calls that are stopped at their first wait, and then throw `cancelled`
};
static_assert(detail::trivially_destructible<fault_options>);

struct fault_stats {
  std::uint64_t calls = 0;
  std::uint64_t delays = 0;
  std::uint64_t errors = 0;
  std::uint64_t cancellations = 0;
};

/// Makes calls go wrong, for tests of what is around them. It stands innermost in a policy:
///
///     weir::fault_injector faults({.delays = 0.2, .errors = 0.1});
///     weir::policy calls(weir::retry_policy({.attempts = 5}), weir::timeout(1s), faults);
///
/// In a simulation the seed decides which ones. Any number of tasks may use it at once; it must outlive them.
class fault_injector {
 public:
  /// Throws std::invalid_argument for a rate below 0 or above 1.
  explicit fault_injector(const fault_options& options) : options_(options) {
    const auto is_rate = [](double rate) { return rate >= 0 && rate <= 1; };
    if (!is_rate(options.delays) || !is_rate(options.errors) || !is_rate(options.cancellations)) {
      throw std::invalid_argument("weir: fault_injector: rates are between 0 and 1");
    }
  }

  template <detail::protectable F>
  task<detail::call_value_t<std::decay_t<F>>> run(F&& function) WEIR_DETAIL_LIFETIMEBOUND {
    WEIR_DETAIL_REQUIRE_NAMED(F);
    return run_kept<std::decay_t<F>>(std::forward<F>(function));
  }

  [[nodiscard]] fault_stats stats() const noexcept {
    return {calls_.read(), delays_.read(), errors_.read(), cancellations_.read()};
  }

 private:
  static bool happens(double rate, detail::tally& counted) noexcept {
    if (detail::random_unit() >= rate) return false;
    counted.add();
    return true;
  }

  template <class F>
  task<detail::call_value_t<F>> run_kept(F function) {
    calls_.add();
    if (happens(options_.delays, delays_)) {
      co_await sleep_for(detail::random_between(duration::zero(), options_.longest_delay));
    }
    if (happens(options_.errors, errors_)) {
      throw std::system_error(std::make_error_code(options_.error), "injected fault");
    }
    cancellation_source stops;
    if (happens(options_.cancellations, cancellations_)) stops.request_cancellation();
    auto call = detail::start_call(function);
    co_return co_await with_cancellation(stops.token(), std::move(call));
  }

  fault_options options_;
  detail::tally calls_, delays_, errors_, cancellations_;
};

}  // namespace weir
