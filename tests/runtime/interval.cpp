#include "support.hpp"

using test::simulate;

namespace {

/// Takes `count` ticks, being busy for the first `busy` after the first one; tells when they came, in milliseconds.
weir::task<std::vector<long>> ticks(weir::missed_ticks policy, weir::duration busy, int count) {
  std::vector<long> came;
  const weir::time_point start = weir::now();
  weir::interval every{10ms, policy};
  for (int i = 0; i < count; ++i) {
    co_await every.tick();
    came.push_back((weir::now() - start) / 1ms);
    if (i == 0) co_await weir::sleep_for(busy);
  }
  co_return came;
}

}  // namespace

TEST_CASE("an interval ticks at start, start + period, start + 2 periods") {
  for (auto policy : {weir::missed_ticks::burst, weir::missed_ticks::delay, weir::missed_ticks::skip}) {
    CHECK(simulate([&] { return ticks(policy, 3ms, 4); }) == std::vector<long>{0, 10, 20, 30});
  }
}

TEST_CASE("missed ticks: burst delivers each, delay counts from the late one, skip keeps the schedule") {
  CHECK(simulate([] { return ticks(weir::missed_ticks::burst, 35ms, 6); }) == std::vector<long>{0, 35, 35, 35, 40, 50});
  CHECK(simulate([] { return ticks(weir::missed_ticks::delay, 35ms, 4); }) == std::vector<long>{0, 35, 45, 55});
  CHECK(simulate([] { return ticks(weir::missed_ticks::skip, 35ms, 4); }) == std::vector<long>{0, 35, 40, 50});
}

TEST_CASE("a tick completes with the point in time for which it was due") {
  simulate([]() -> weir::task<> {
    const weir::time_point start = weir::now();
    weir::interval every{10ms};
    CHECK(every.period() == 10ms);
    const weir::time_point first = co_await every.tick();
    CHECK(first == start);
    co_await weir::sleep_for(25ms);
    const weir::time_point second = co_await every.tick();
    CHECK(second == start + 10ms);
    const auto third = co_await weir::as_result(every.tick());
    CHECK(third.value() == start + 20ms);
    CHECK(weir::now() == start + 25ms);
  });
}

TEST_CASE("a tick that is cancelled while it waits is not used up") {
  simulate([]() -> weir::task<> {
    weir::interval every{10ms};
    const weir::time_point start = co_await every.tick();
    for (int i = 0; i < 3; ++i) {
      const auto r = co_await weir::as_result(weir::with_timeout(1ms, every.tick()));
      CHECK(r.error() == std::errc::timed_out);
    }
    const weir::time_point second = co_await every.tick();
    CHECK(second == start + 10ms);
  });
}

TEST_CASE("an interval may begin later; its period must be positive") {
  simulate([]() -> weir::task<> {
    weir::interval every{weir::duration(5ms), weir::missed_ticks::skip, weir::now() + 20ms};
    const weir::time_point first = co_await every.tick();
    CHECK(first == weir::time_point() + 20ms);
    CHECK(weir::now() == first);
    CHECK_THROWS_AS(weir::interval{0s}, std::invalid_argument);
    CHECK_THROWS_AS(weir::interval{-1s}, std::invalid_argument);
    weir::interval rare{std::chrono::hours::max(), weir::missed_ticks::skip};
    co_await rare.tick();
    const auto r = co_await weir::as_result(weir::with_timeout(1h, rare.tick()));
    CHECK(r.error() == std::errc::timed_out);
  });
}
