#pragma once

#include <concepts>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "../runtime/clock.hpp"
#include "../runtime/detail/invoke.hpp"
#include "../runtime/detail/light_std.hpp"
#include "../runtime/sleep.hpp"
#include "../runtime/task.hpp"
#include "../runtime/when_any.hpp"

namespace weir {

/// How far work has come: what with_progress reports.
struct progress {
  /// Since it began.
  duration elapsed{};
  /// It has completed: the last report.
  bool ended = false;
};

namespace detail {

template <class Report>
task<> report_every(duration period, Report& report, time_point begin) {
  interval clock(period, missed_ticks::skip, add_saturated(begin, period));
  for (;;) {
    co_await clock.tick();
    detail::invoke(report, progress{now() - begin, false});
  }
}

template <class T, class Report>
task<T> reported(duration period, Report report, task<T> work) {
  const time_point begin = now();
  auto either = when_any(std::move(work), report_every(period, report, begin));
  auto ended = co_await std::move(either);
  detail::invoke(report, progress{now() - begin, true});
  if constexpr (!std::is_void_v<T>) co_return std::move(ended).template get<0>();
}

}  // namespace detail

/// Runs `work` and calls `report(progress)` every `period`, and once more when it has completed; completes with its
/// value.
///
///     weir::stage_counters parsed{"parse"};
///     auto show = [&](weir::progress p) { fmt::print("{}  {} s\n", to_string(parsed), p.elapsed / 1s); };
///     co_await weir::with_progress(1s, show, from(lines) | transform(parse, {.counters = &parsed}) | for_each(store));
///
/// `report` is a plain function; what it throws stops the work and is thrown. What the work throws is thrown without a
/// last report. Cancelled: the work is stopped and joined. Throws std::invalid_argument for a period that is not
/// positive.
template <class Rep, class Period, class Report, class T>
  requires std::invocable<std::decay_t<Report>&, progress>
task<T> with_progress(std::chrono::duration<Rep, Period> period, Report&& report, task<T> work) {
  WEIR_DETAIL_REQUIRE_NAMED(Report);
  const duration length = detail::to_duration(period);
  if (length <= duration::zero()) throw std::invalid_argument("weir::with_progress: the period must be positive");
  return detail::reported<T, std::decay_t<Report>>(length, std::forward<Report>(report), std::move(work));
}

}  // namespace weir
