#include <numeric>

#include "support.hpp"

#include <weir/patterns/every.hpp>
#include <weir/patterns/take.hpp>
#include <weir/patterns/window.hpp>

using test::simulate;
using weir::collect;
using weir::from;
using weir::window;

namespace {

using windows = std::vector<std::vector<int>>;

windows of(int n, std::size_t size, std::size_t step) {
  return simulate(
      [=]() -> weir::task<windows> { co_return co_await (from(test::numbers(n)) | window(size, step) | collect()); });
}

/// Yields `n` when as many milliseconds have passed since it started.
weir::async_generator<int> at(std::vector<int> moments) {
  const auto begin = weir::now();
  for (int moment : moments) {
    co_await weir::sleep_until(begin + moment * 1ms);
    co_yield moment;
  }
}

struct delivered {
  int at_ms;
  std::vector<int> items;
  bool operator==(const delivered&) const = default;
};

std::vector<delivered> timed(const std::vector<int>& moments, weir::duration period, std::size_t most) {
  std::vector<delivered> all;
  simulate([&]() -> weir::task<> {
    co_await weir::sleep_for(123ms);  // windows count from the pipeline's start, not the clock's
    const auto begin = weir::now();
    auto note = [&](std::vector<int> items) {
      all.push_back({static_cast<int>((weir::now() - begin) / 1ms), std::move(items)});
    };
    co_await (from(at(moments)) | window(period, most) | weir::for_each(note));
  });
  return all;
}

}  // namespace

TEST_CASE("window by number: tumbling, sliding, and with gaps; what was in none yet makes a last one") {
  CHECK(of(7, 3, 3) == windows{{0, 1, 2}, {3, 4, 5}, {6}});
  CHECK(of(6, 3, 3) == windows{{0, 1, 2}, {3, 4, 5}});
  CHECK(of(5, 3, 1) == windows{{0, 1, 2}, {1, 2, 3}, {2, 3, 4}});
  CHECK(of(6, 3, 2) == windows{{0, 1, 2}, {2, 3, 4}, {4, 5}});
  CHECK(of(5, 3, 2) == windows{{0, 1, 2}, {2, 3, 4}});
  CHECK(of(2, 3, 1) == windows{{0, 1}});
  CHECK(of(8, 2, 3) == windows{{0, 1}, {3, 4}, {6, 7}});
  CHECK(of(9, 2, 3) == windows{{0, 1}, {3, 4}, {6, 7}});
  CHECK(of(10, 2, 3) == windows{{0, 1}, {3, 4}, {6, 7}, {9}});
  CHECK(of(0, 3, 1).empty());
  CHECK(of(3, 1, 1) == windows{{0}, {1}, {2}});
}

TEST_CASE("window: sizes and periods of nothing are refused") {
  CHECK_THROWS_WITH_AS(window(0), "weir::window: the size and the step are at least 1", std::invalid_argument);
  CHECK_THROWS_AS(window(1, 0), std::invalid_argument);
  CHECK_THROWS_AS(window(0s, 1), std::invalid_argument);
  CHECK_THROWS_AS(window(1s, 0), std::invalid_argument);
}

TEST_CASE("window by time: what came in the same period, from the pipeline's start; none is empty, none too large") {
  CHECK(timed({0, 4, 9, 10, 19, 45}, 10ms, 100) == std::vector<delivered>{{10, {0, 4, 9}}, {20, {10, 19}}, {45, {45}}});
  CHECK(timed({1, 2, 3, 4, 15}, 10ms, 2) == std::vector<delivered>{{2, {1, 2}}, {4, {3, 4}}, {15, {15}}});
  CHECK(timed({}, 10ms, 2).empty());
  CHECK(timed({1000}, 10ms, 2) == std::vector<delivered>{{1000, {1000}}});
}

TEST_CASE("window by time: a slow end gets every item once") {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    std::vector<int> seen;
    simulate(
        [&]() -> weir::task<> {
          test::dice dice(seed);
          auto source = [&]() -> weir::async_generator<int> {
            for (int i = 0; i < 50; ++i) {
              co_await weir::sleep_for(dice.roll(5) * 1us);
              co_yield i;
            }
          };
          auto note = [&](std::vector<int> items) -> weir::task<> {
            CHECK(!items.empty());
            CHECK(items.size() <= 6);
            co_await weir::sleep_for(dice.roll(20) * 1us);
            seen.insert(seen.end(), items.begin(), items.end());
          };
          weir::stage_counters counters;
          co_await (from(source()) | window(7us, 6, counters) | weir::for_each(note));
          CHECK(counters.in() == 50);
          CHECK(counters.queued() == 0);
        },
        seed);
    CHECK(seen == test::up_to(50));
  }
}

// 50 sensors that send 100 readings a second each, through one channel; an aggregate a second.
TEST_CASE("window: readings of many sensors as aggregates of a second (S174)") {
  simulate([]() -> weir::task<> {
    constexpr int sensors = 50;
    struct aggregate {
      std::size_t number;
      int least;
      int most;
    };
    auto [tx, rx] = weir::make_channel<int>(256);
    auto sensor = [](weir::sender<int> to, int id) -> weir::task<> {
      weir::interval clock(10ms);
      for (int i = 0; i < 300; ++i) {
        co_await clock.tick();
        co_await to.send(id);
      }
    };
    std::vector<aggregate> all;
    auto aggregated = [](const std::vector<int>& readings) {
      const auto [least, most] = std::minmax_element(readings.begin(), readings.end());
      return aggregate{readings.size(), *least, *most};
    };
    auto body = [&](weir::task_group& group) -> weir::task<> {
      for (int id = 0; id < sensors; ++id) group.spawn(sensor, tx, id);
      tx.reset();
      auto whole = from(std::move(rx)) | window(1s, 100'000) | weir::transform(aggregated) |
                   weir::for_each([&](aggregate a) { all.push_back(a); });
      co_await std::move(whole);
    };
    co_await weir::with_task_group(body);
    REQUIRE(all.size() == 3);
    for (const aggregate& a : all) {
      CHECK(a.number == sensors * 100);
      CHECK(a.least == 0);
      CHECK(a.most == sensors - 1);
    }
  });
}
