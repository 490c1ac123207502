#pragma once

#include <stdexcept>

#include "../runtime/async_generator.hpp"
#include "../runtime/clock.hpp"
#include "../runtime/detail/light_std.hpp"
#include "../runtime/sleep.hpp"
#include "detail/flow.hpp"

namespace weir {
namespace detail {

async_generator<time_point> ticks(duration period, missed_ticks policy);

class every_function {
 public:
  template <class Rep, class Period>
  auto operator()(std::chrono::duration<Rep, Period> period, missed_ticks policy = missed_ticks::burst) const {
    const auto length = to_duration(period);
    if (length <= duration::zero()) throw std::invalid_argument("weir::every: the period must be positive");
    return flow_from<time_point>(ready_source(ticks(length, policy)));
  }
};

}  // namespace detail

/// A source of the ticks of a weir::interval: `every(100ms)`, `every(100ms, missed_ticks::skip)`. Its items are the
/// points in time for which they were due; the first is due when the pipeline starts. It does not end by itself: see
/// take. Throws std::invalid_argument for a period that is not positive.
///
///     every(1s) | transform(measure) | for_each(report)
inline constexpr detail::every_function every{};

}  // namespace weir
