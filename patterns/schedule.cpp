#include "schedule.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cctype>
#include <chrono>
#include <stdexcept>
#include <string>
#include <vector>

#include "../runtime/detail/worker.hpp"

namespace weir {

utc_time utc_now() {
  using namespace std::chrono;
  const detail::worker* const here = detail::current_worker();
  if (here && here->core().simulation().enabled) return sys_days(year(2000) / January / 1) + now().time_since_epoch();
  return system_clock::now();
}

namespace {

struct field {
  const char* name;
  unsigned least;
  unsigned most;
  const char* const* words;  // of the numbers from `least` on; null: none
};

constexpr std::array<const char*, 12> month_names = {"jan", "feb", "mar", "apr", "may", "jun",
                                                     "jul", "aug", "sep", "oct", "nov", "dec"};
constexpr std::array<const char*, 7> weekday_names = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};
constexpr std::array<field, 5> fields = {{
    {"minute", 0, 59, nullptr},
    {"hour", 0, 23, nullptr},
    {"day of the month", 1, 31, nullptr},
    {"month", 1, 12, month_names.data()},
    {"day of the week", 0, 7, weekday_names.data()},
}};

constexpr std::size_t minute = 0, hour = 1, day = 2, month = 3, weekday = 4;

class cron_parser {
 public:
  explicit cron_parser(std::string_view line) : line_(line) {}

  [[nodiscard]] std::array<std::string_view, 5> split() const {
    std::array<std::string_view, 5> parts;
    std::size_t count = 0;
    for (std::string_view rest = line_;;) {
      rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size()));
      if (rest.empty()) break;
      const std::string_view part = rest.substr(0, rest.find_first_of(" \t"));
      rest.remove_prefix(part.size());
      if (count == parts.size()) fail("has more than five fields");
      parts[count++] = part;
    }
    if (count != parts.size()) fail("does not have five fields: minute, hour, day, month, day of the week");
    return parts;
  }

  /// The numbers of a field, as bits.
  [[nodiscard]] std::uint64_t numbers(std::string_view text, const field& of) const {
    std::uint64_t all = 0;
    for (;;) {
      const std::size_t comma = text.find(',');
      all |= range(text.substr(0, comma), of);
      if (comma == std::string_view::npos) return all;
      text.remove_prefix(comma + 1);
    }
  }

  [[noreturn]] void fail(const std::string& what) const {
    throw std::invalid_argument("weir::cron_expression \"" + std::string(line_) + "\" " + what);
  }

 private:
  [[nodiscard]] std::uint64_t range(std::string_view text, const field& of) const {
    const std::size_t slash = text.find('/');
    const std::string_view span = text.substr(0, slash);
    unsigned from = of.least;
    unsigned to = of.most;
    const std::size_t dash = span.find('-');
    if (span != "*") {
      from = number(span.substr(0, dash), of);
      to = dash == std::string_view::npos ? from : number(span.substr(dash + 1), of);
      if (to < from) fail("has a " + std::string(of.name) + " range that ends before it begins");
    }
    unsigned step = 1;
    if (slash != std::string_view::npos) {
      if (span != "*" && dash == std::string_view::npos) fail("has a step behind a single " + std::string(of.name));
      step = digits(text.substr(slash + 1), of);
      if (step == 0) fail("has a step of 0 in the " + std::string(of.name));
    }
    std::uint64_t all = 0;
    for (unsigned n = from; n <= to; n += step) all |= std::uint64_t{1} << n;
    return all;
  }

  [[nodiscard]] unsigned number(std::string_view text, const field& of) const {
    if (of.words && text.size() == 3) {
      std::string lower(text);
      for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      for (unsigned n = of.least; n <= of.most && n - of.least < (of.most == 12 ? 12 : 7); ++n) {
        if (lower == of.words[n - of.least]) return n;
      }
    }
    const unsigned value = digits(text, of);
    if (value < of.least || value > of.most) {
      fail("has the " + std::string(of.name) + " " + std::string(text) + ", which is not in " +
           std::to_string(of.least) + "-" + std::to_string(of.most));
    }
    return value;
  }

  [[nodiscard]] unsigned digits(std::string_view text, const field& of) const {
    constexpr std::size_t longest = 4;
    const bool good = !text.empty() && text.size() <= longest &&
                      std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (!good) fail("has \"" + std::string(text) + "\" where a number is wanted, in the " + std::string(of.name));
    unsigned value = 0;
    for (const char c : text) value = value * 10 + static_cast<unsigned>(c - '0');
    return value;
  }

  std::string_view line_;
};

std::string_view without_word(std::string_view line) {
  constexpr std::array<std::array<std::string_view, 2>, 7> words = {{{"@hourly", "0 * * * *"},
                                                                     {"@daily", "0 0 * * *"},
                                                                     {"@midnight", "0 0 * * *"},
                                                                     {"@weekly", "0 0 * * 0"},
                                                                     {"@monthly", "0 0 1 * *"},
                                                                     {"@yearly", "0 0 1 1 *"},
                                                                     {"@annually", "0 0 1 1 *"}}};
  for (const auto& [word, meaning] : words) {
    if (line == word) return meaning;
  }
  return line;
}

/// The first number from `from` on whose bit is set; 64 if there is none.
unsigned first_from(std::uint64_t bits, unsigned from) noexcept {
  return static_cast<unsigned>(std::countr_zero(from < 64 ? bits >> from << from : 0));
}

bool has(std::uint64_t bits, unsigned n) noexcept { return (bits >> n & 1) != 0; }

}  // namespace

cron_expression::cron_expression(std::string_view line) {
  const cron_parser parser(without_word(line));
  const std::array<std::string_view, 5> parts = parser.split();
  minutes_ = parser.numbers(parts[minute], fields[minute]);
  hours_ = static_cast<std::uint32_t>(parser.numbers(parts[hour], fields[hour]));
  days_ = static_cast<std::uint32_t>(parser.numbers(parts[day], fields[day]));
  months_ = static_cast<std::uint16_t>(parser.numbers(parts[month], fields[month]));
  const std::uint64_t weekdays = parser.numbers(parts[weekday], fields[weekday]);
  weekdays_ = static_cast<std::uint8_t>((weekdays | weekdays >> 7) & 0x7f);
  any_day_ = parts[day].starts_with('*');
  any_weekday_ = parts[weekday].starts_with('*');
  if (!find_after(utc_time())) parser.fail("names a date that never comes");
}

bool cron_expression::matches_date(std::chrono::sys_days date) const noexcept {
  const std::chrono::year_month_day civil(date);
  if (!has(months_, static_cast<unsigned>(civil.month()))) return false;
  const bool fits_day = has(days_, static_cast<unsigned>(civil.day()));
  const bool fits_weekday = has(weekdays_, std::chrono::weekday(date).c_encoding());
  return any_day_ || any_weekday_ ? fits_day && fits_weekday : fits_day || fits_weekday;
}

bool cron_expression::matches(utc_time time) const noexcept {
  const auto date = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::hh_mm_ss clock(std::chrono::floor<std::chrono::minutes>(time - date));
  return matches_date(date) && has(hours_, static_cast<unsigned>(clock.hours().count())) &&
         has(minutes_, static_cast<unsigned>(clock.minutes().count()));
}

std::optional<utc_time> cron_expression::find_after(utc_time time) const {
  using namespace std::chrono;
  // From one 29 February to the next there are at most eight years; of weekdays nothing is rarer, for when both days
  // are restricted either will do.
  constexpr days longest{366 * 8 + 1};
  const auto start = floor<minutes>(time) + minutes(1);
  sys_days date = floor<days>(start);
  const sys_days end = date + longest;
  unsigned hour_from = static_cast<unsigned>(floor<hours>(start - date).count());
  unsigned minute_from = static_cast<unsigned>((start - date - hours(hour_from)).count());
  for (; date <= end; date += days(1), hour_from = minute_from = 0) {
    if (!matches_date(date)) continue;
    unsigned at_hour = first_from(hours_, hour_from);
    unsigned at_minute = first_from(minutes_, at_hour == hour_from ? minute_from : 0);
    if (at_minute == 64) {  // not in this hour any more
      at_hour = first_from(hours_, at_hour + 1);
      at_minute = first_from(minutes_, 0);
    }
    if (at_hour < 24) return utc_time(date) + hours(at_hour) + minutes(at_minute);
  }
  return std::nullopt;
}

utc_time cron_expression::next_after(utc_time time) const {
  const std::optional<utc_time> found = find_after(time);
  return found ? *found : utc_time::max();
}

// ---- schedule

schedule schedule::every(duration period, duration first) {
  if (period <= duration::zero()) throw std::invalid_argument("weir::schedule: the period must be positive");
  return {kind::interval, period, first};
}

std::optional<duration> schedule::first(duration now) const {
  switch (kind_) {
    case kind::interval:
    case kind::once:
      return detail::add_saturated(time_point(now), first_).time_since_epoch();
    case kind::calendar:
      return next(now);
    case kind::moment:
      break;
  }
  return first_;
}

std::optional<duration> schedule::next(duration after) const {
  if (kind_ == kind::interval) return detail::add_saturated(time_point(after), period_).time_since_epoch();
  if (kind_ == kind::calendar) return calendar_->next_after(utc_time(after)).time_since_epoch();
  return std::nullopt;
}

std::uint64_t schedule::count(duration& due, duration now) const {
  if (kind_ == kind::interval) {
    const auto periods = (now - due) / period_;
    due += periods * period_;
    return static_cast<std::uint64_t>(periods) + 1;
  }
  std::uint64_t moments = 1;
  for (auto later = next(due); later && *later <= now; later = next(due)) {
    due = *later;
    ++moments;
  }
  return moments;
}

}  // namespace weir
