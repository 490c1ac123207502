#include <weir/patterns/schedule.hpp>

#include "support.hpp"

#include <chrono>
#include <cstdio>
#include <random>

using weir::cron_expression;
using weir::utc_time;

namespace {

utc_time utc(int year, unsigned month, unsigned day, int hour = 0, int minute = 0, int second = 0) {
  using namespace std::chrono;
  return sys_days(std::chrono::year(year) / std::chrono::month(month) / std::chrono::day(day)) + hours(hour) +
         minutes(minute) + seconds(second);
}

std::string text(utc_time t) {
  using namespace std::chrono;
  const auto date = floor<days>(t);
  const year_month_day civil(date);
  const hh_mm_ss clock(floor<seconds>(t - date));
  std::array<char, 64> out{};
  std::snprintf(out.data(), out.size(), "%04d-%02u-%02u %02d:%02d:%02d", static_cast<int>(civil.year()),
                static_cast<unsigned>(civil.month()), static_cast<unsigned>(civil.day()),
                static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
                static_cast<int>(clock.seconds().count()));
  return out.data();
}

/// The next ones.
test::log next(const char* line, utc_time from, int n) {
  const cron_expression cron(line);
  test::log all;
  for (int i = 0; i < n; ++i) {
    from = cron.next_after(from);
    all.push_back(text(from));
  }
  return all;
}

std::string refusal(const char* line) {
  try {
    static_cast<void>(cron_expression(line));
  } catch (const std::invalid_argument& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("cron_expression: \"0 2 * * *\" is every night at two (S162)") {
  CHECK(next("0 2 * * *", utc(2024, 2, 28), 3) ==
        test::log{"2024-02-28 02:00:00", "2024-02-29 02:00:00", "2024-03-01 02:00:00"});
  CHECK(next("0 2 * * *", utc(2024, 12, 31, 2), 1) == test::log{"2025-01-01 02:00:00"});  // strictly after
  CHECK(next("0 2 * * *", utc(2024, 12, 31, 1, 59, 59), 1) == test::log{"2024-12-31 02:00:00"});
}

TEST_CASE("cron_expression: numbers, ranges, lists, steps, names and words") {
  CHECK(next("*/15 8-9 * * mon-fri", utc(2026, 11, 27, 9, 40), 3) ==
        test::log{"2026-11-27 09:45:00", "2026-11-30 08:00:00", "2026-11-30 08:15:00"});
  CHECK(next("5,10-12,50-59/5 * * * *", utc(2026, 1, 1, 0, 11), 4) ==
        test::log{"2026-01-01 00:12:00", "2026-01-01 00:50:00", "2026-01-01 00:55:00", "2026-01-01 01:05:00"});
  CHECK(next("0 0 29 feb *", utc(2096, 3, 1), 1) == test::log{"2104-02-29 00:00:00"});
  CHECK(next("0 12 * JAN,Dec sun", utc(2026, 11, 29), 2) == test::log{"2026-12-06 12:00:00", "2026-12-13 12:00:00"});
  CHECK(cron_expression("0 12 * * 0") == cron_expression("0 12 * * 7"));
  CHECK(cron_expression("0 12 * * 5-7").matches(utc(2026, 11, 29, 12)));
  CHECK(!cron_expression("0 12 * * 5-7").matches(utc(2026, 11, 29, 12, 1)));
  CHECK(cron_expression("@hourly") == cron_expression("0 * * * *"));
  CHECK(cron_expression("@midnight") == cron_expression("@daily"));
  CHECK(next("@weekly", utc(2026, 11, 23), 1) == test::log{"2026-11-29 00:00:00"});
  CHECK(next("@yearly", utc(2026, 1, 1), 1) == test::log{"2027-01-01 00:00:00"});
}

TEST_CASE("cron_expression: two restricted days are an either-or, as POSIX has it") {
  // The 13th, or a Friday.
  CHECK(next("0 0 13 * fri", utc(2026, 11, 7), 3) ==
        test::log{"2026-11-13 00:00:00", "2026-11-20 00:00:00", "2026-11-27 00:00:00"});
  CHECK(next("0 0 13 * fri", utc(2026, 12, 5), 2) == test::log{"2026-12-11 00:00:00", "2026-12-13 00:00:00"});
  // One that begins with a star is no restriction: odd days that are Mondays.
  CHECK(next("0 0 */2 * mon", utc(2026, 11, 1), 2) == test::log{"2026-11-09 00:00:00", "2026-11-23 00:00:00"});
}

TEST_CASE("cron_expression: what is wrong is named") {
  CHECK(refusal("60 * * * *") == "weir::cron_expression \"60 * * * *\" has the minute 60, which is not in 0-59");
  for (const char* wrong :
       {"",           "* * * *",         "* * * * * *", "* 24 * * *",    "* * 0 * *", "* * 32 * *",   "* * * 13 *",
        "* * * * 8",  "5-1 * * * *",     "*/0 * * * *", "5/10 * * * *",  "a * * * *", "1,,2 * * * *", "1- * * * *",
        "-1 * * * *", "* * * feb-jan *", "* * * sun *", "99999 * * * *", "@never",    "0x1 * * * *",  "* * * * mond"}) {
    CAPTURE(wrong);
    CHECK(refusal(wrong).starts_with("weir::cron_expression \""));
  }
  CHECK(refusal("0 0 31 2 *") == "weir::cron_expression \"0 0 31 2 *\" names a date that never comes");
  CHECK(refusal("0 0 30,31 feb *") != "");
}

TEST_CASE("cron_expression: next_after() finds what looking at each minute finds") {
  test::dice dice(4);
  const std::array lines = {"*/7 3-5 * * *",   "0 0 1,15 * mon", "13 */6 * feb,jul tue-thu",
                            "59 23 28-31 * *", "*/10 * 29 2 *",  "0 0 * * 6,7",
                            "30 12 1-7 * *",   "0 */5 */3 * *",  "1 1 1 1 1",
                            "* * * * *"};
  for (const char* line : lines) {
    const cron_expression cron(line);
    for (int i = 0; i < test::scaled(8, 2); ++i) {
      const utc_time from =
          utc(2023, 1, 1) + std::chrono::minutes(dice.roll(60 * 24 * 700)) + std::chrono::seconds(dice.roll(60));
      const utc_time found = cron.next_after(from);
      CHECK(cron.matches(found));
      CHECK(found > from);
      utc_time t = std::chrono::floor<std::chrono::minutes>(from) + std::chrono::minutes(1);
      const utc_time look_until = std::min(found, t + std::chrono::hours(24 * 10));
      bool earlier = false;
      for (; t < look_until; t += std::chrono::minutes(1)) earlier = earlier || cron.matches(t);
      CHECK(!earlier);
    }
  }
}

TEST_CASE("utc_now: virtual in a simulation, the system's elsewhere") {
  test::simulate([]() -> weir::task<> {
    CHECK(weir::utc_now() == utc(2000, 1, 1));
    co_await weir::sleep_for(24h);
    CHECK(weir::utc_now() == utc(2000, 1, 2));
  });
  const utc_time before = std::chrono::system_clock::now();
  CHECK(weir::utc_now() >= before);
  CHECK(weir::utc_now() < before + 1h);
}
