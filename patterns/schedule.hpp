#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "../runtime/clock.hpp"
#include "../runtime/detail/light_std.hpp"
#include "../runtime/detail/slot.hpp"

namespace weir {

/// A moment of the calendar, in UTC, to the nanosecond: std::chrono::system_clock's on Linux.
using utc_time = std::chrono::sys_time<duration>;

/// What the system's clock says. In a simulation it is 2000-01-01 00:00 at the beginning and goes with the virtual
/// time.
utc_time utc_now();

/// Moments of the calendar in UTC at which something is to be done, as a line of a crontab names them:
///
///     cron_expression nightly("0 2 * * *");      // minute, hour, day of the month, month, day of the week
///     cron_expression weekdays("*/15 8-18 * * mon-fri");
///
/// Each field is `*`, a number, a range `8-18`, or a list of these with commas; a `*` or a range may have a step behind
/// it: `*/15`, `0-30/10`. Months and days of the week may be named by three letters; Sunday is 0 or 7. When both days
/// are restricted, a date is meant that fits one of them. "@hourly", "@daily" ("@midnight"), "@weekly", "@monthly" and
/// "@yearly" ("@annually") are what crontab means by them.
///
/// Source: POSIX.1-2017, crontab; steps, names and `@words` as in P. Vixie's cron, crontab(5). UTC has no hour that
/// comes twice, and none that is left out.
class cron_expression {
 public:
  /// Throws std::invalid_argument with a sentence that names the field, also for dates that never come ("0 0 31 2 *").
  explicit cron_expression(std::string_view line);

  /// The first such moment after `time`. A few steps; O(days) until then at most, and that is eight years.
  [[nodiscard]] utc_time next_after(utc_time time) const;
  /// Whether the minute of `time` is meant.
  [[nodiscard]] bool matches(utc_time time) const noexcept;

  friend bool operator==(const cron_expression&, const cron_expression&) = default;

 private:
  [[nodiscard]] std::optional<utc_time> find_after(utc_time time) const;
  [[nodiscard]] bool matches_date(std::chrono::sys_days date) const noexcept;

  std::uint64_t minutes_ = 0;  // a bit for each
  std::uint32_t hours_ = 0;
  std::uint32_t days_ = 0;
  std::uint16_t months_ = 0;
  std::uint8_t weekdays_ = 0;
  bool any_day_ = false;  // the field begins with *
  bool any_weekday_ = false;
};

/// When a job is to run: for job_scheduler.
class schedule {
 public:
  /// Again and again: so long after it was added, or at once with `first`, and then every `period`, without drift. By
  /// the runtime's clock, so that setting the system's changes nothing. Throws std::invalid_argument unless it is
  /// positive.
  static schedule every(duration period) { return every(period, period); }
  static schedule every(duration period, duration first);
  /// By the calendar. Throws as cron_expression does.
  static schedule cron(std::string_view line) { return schedule(cron_expression(line)); }
  explicit schedule(const cron_expression& moments) noexcept : kind_(kind::calendar) { calendar_.emplace(moments); }
  /// Once, so long after it was added.
  static schedule after(duration delay) noexcept { return {kind::once, {}, delay}; }
  /// Once, at that moment of the calendar; if it has passed, that counts as missed.
  static schedule at(utc_time moment) noexcept { return {kind::moment, {}, moment.time_since_epoch()}; }

 private:
  friend class job_scheduler;
  enum class kind : std::uint8_t { interval, once, calendar, moment };
  schedule(kind how, duration period, duration first) noexcept : kind_(how), period_(period), first_(first) {}

  // Moments as time since the epoch of its clock, which is the calendar's or the runtime's.

  [[nodiscard]] bool by_calendar() const noexcept { return kind_ == kind::calendar || kind_ == kind::moment; }
  /// The first one, if it is added now; nothing past the end of time.
  [[nodiscard]] std::optional<duration> first(duration now) const;
  [[nodiscard]] std::optional<duration> next(duration after) const;
  /// How many there are from `due`, which is one of them, to `now`; `due` becomes the last.
  [[nodiscard]] std::uint64_t count(duration& due, duration now) const;

  kind kind_;
  duration period_{};
  duration first_{};  // the delay, or the moment
  detail::slot<cron_expression> calendar_;
};

}  // namespace weir
