#include <weir/sync/window_limiters.hpp>

#include <stdexcept>
#include <vector>

#include "support.hpp"

using test::at;
using test::simulate;

namespace {

/// The times at which `count` tasks that come at once get their tokens.
template <class Limiter>
weir::task<> all_at_once(Limiter& limiter, int count, std::vector<weir::duration>& times) {
  auto body = [&](weir::task_group& g) -> weir::task<> {
    auto child = [&]() -> weir::task<> {
      co_await limiter.acquire();
      times.push_back(weir::now() - weir::time_point());
    };
    for (int i = 0; i < count; ++i) g.spawn(child);
    co_await g.join();
  };
  co_await weir::with_task_group(body);
}

std::size_t most_in_any(const std::vector<weir::duration>& times, weir::duration window) {
  std::size_t most = 0;
  for (std::size_t i = 0; i < times.size(); ++i) {
    std::size_t j = i;
    while (j < times.size() && times[j] - times[i] < window) ++j;
    most = std::max(most, j - i);
  }
  return most;
}

}  // namespace

TEST_CASE("fixed_window_limiter: so many in each window, and twice as many across the border of two (S97, P64)") {
  std::vector<weir::duration> times;
  simulate([&]() -> weir::task<> {
    weir::fixed_window_limiter limiter(100, 1s);
    co_await weir::sleep_for(950ms);
    for (int i = 0; i < 100; ++i) CHECK(limiter.try_acquire());
    CHECK(!limiter.try_acquire());
    CHECK(limiter.available() == 0);
    CHECK(limiter.reserve().when() == at(1s));
    co_await all_at_once(limiter, 150, times);
  });
  CHECK(times.front() == 1s);
  CHECK(times[99] == 1s);  // 200 within 50 ms: what this kind of limit allows
  CHECK(times[100] == 2s);
  CHECK(times.back() == 2s);
}

TEST_CASE("fixed_window_limiter: a wait for several is not split over windows, and reservations count that in") {
  simulate([]() -> weir::task<> {
    weir::fixed_window_limiter limiter(5, 10ms);
    co_await limiter.acquire(3);
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto child = [&](std::uint64_t n, weir::duration due) -> weir::task<> {
        co_await limiter.acquire(n);
        CHECK(weir::now() == at(due));
      };
      g.spawn(child, 4u, weir::duration(10ms));
      co_await test::settle();
      g.spawn(child, 2u, weir::duration(20ms));
      co_await test::settle();
      const auto place = limiter.reserve(4);
      CHECK(place.when() == at(30ms));
      co_await g.join();
      co_await weir::sleep_until(place.when());
    };
    co_await weir::with_task_group(body);
    CHECK(limiter.available() == 1);
  });
}

TEST_CASE("sliding_window_limiter: never more than so many in any window (S98, P64)") {
  std::vector<weir::duration> times;
  simulate([&]() -> weir::task<> {
    weir::sliding_window_limiter limiter(10, 100ms);
    for (int i = 0; i < 7; ++i) {
      co_await weir::sleep_for(13ms);
      CHECK(limiter.try_acquire());
      times.push_back(weir::now() - weir::time_point());
    }
    co_await all_at_once(limiter, 95, times);
    CHECK(limiter.reserve().when() == at(times[92] + 100ms));
  });
  CHECK(times.size() == 102);
  CHECK(most_in_any(times, 100ms) == 10);
  CHECK(times[10] == 113ms);  // when the first has left the window
}

TEST_CASE("sliding_window_limiter: seeds: what a reservation says is when its turn comes, and no window has too many") {
  const std::uint64_t seeds = test::scaled(1000, 100);
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    test::dice dice(seed);
    const std::uint64_t limit = 1 + dice.roll(6);
    std::vector<weir::duration> times;
    bool wrong = false;
    simulate(
        [&]() -> weir::task<> {
          weir::sliding_window_limiter limiter(limit, 50us);
          auto body = [&](weir::task_group& g) -> weir::task<> {
            auto child = [&](std::uint64_t n) -> weir::task<> {
              weir::time_point due;
              {
                auto place = limiter.reserve(n);
                due = place.when();
              }
              // Given back, it has the same turn again, since nobody was behind it. One that was due is used.
              if (due > weir::now()) {
                co_await limiter.acquire(n);
                if (weir::now() != due) wrong = true;
              }
              for (std::uint64_t i = 0; i < n; ++i) times.push_back(weir::now() - weir::time_point());
            };
            for (int i = 0; i < 20; ++i) {
              g.spawn(child, 1 + dice.roll(static_cast<unsigned>(limit)));
              co_await weir::sleep_for(std::chrono::microseconds(dice.roll(20)));
            }
            co_await g.join();
          };
          co_await weir::with_task_group(body);
        },
        seed);
    CAPTURE(seed);
    REQUIRE(!wrong);
    REQUIRE(most_in_any(times, 50us) <= limit);
  }
}

TEST_CASE("sliding_window_limiter: a new limit keeps what was granted in mind") {
  simulate([]() -> weir::task<> {
    weir::sliding_window_limiter limiter(3, 100ms);
    co_await limiter.acquire(3);
    limiter.set_rate(10, 100ms);
    CHECK(limiter.available() == 7);
    co_await limiter.acquire(7);
    limiter.set_rate(2, 100ms);
    CHECK(limiter.available() == 0);
    CHECK(limiter.most() == 2);
    co_await limiter.acquire();
    CHECK(weir::now() == at(100ms));
    limiter.set_rate(3, 10ms);
    CHECK(limiter.available() == 2);
  });
}

TEST_CASE("sliding_window_limiter: one who waits for more than a new limit allows is told") {
  simulate([]() -> weir::task<> {
    weir::sliding_window_limiter limiter(5, 100ms);
    co_await limiter.acquire(5);
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto child = [&]() -> weir::task<> {
        const auto r = co_await weir::as_result(limiter.acquire(4));
        CHECK(r.error() == std::errc::invalid_argument);
        CHECK(weir::now() < at(1ms));
      };
      g.spawn(child);
      co_await test::settle();
      limiter.set_rate(3, 100ms);
    };
    co_await weir::with_task_group(body);
  });
}

TEST_CASE("approximate_window_limiter: what came before weighs less the longer ago it is") {
  simulate([]() -> weir::task<> {
    weir::approximate_window_limiter limiter(100, 1s);
    co_await weir::sleep_for(900ms);
    for (int i = 0; i < 100; ++i) CHECK(limiter.try_acquire());
    CHECK(!limiter.try_acquire());
    co_await weir::sleep_until(at(1250ms));
    CHECK(limiter.available() == 25);  // 75 of the window before are counted
    for (int i = 0; i < 25; ++i) CHECK(limiter.try_acquire());
    CHECK(!limiter.try_acquire());
    co_await limiter.acquire();
    CHECK(weir::now() == at(1260ms));
    co_await weir::sleep_until(at(10s));
    CHECK(limiter.available() == 100);
  });
}

TEST_CASE("approximate_window_limiter: waits as long as it has to, over the border of the window as well") {
  std::vector<weir::duration> times;
  simulate([&]() -> weir::task<> {
    weir::approximate_window_limiter limiter(10, 100ms);
    co_await all_at_once(limiter, 40, times);
  });
  CHECK(times[9] == 0ms);
  CHECK(times[10] == 110ms);  // the ten of the window before count as nine
  CHECK(times[19] == 200ms);
  CHECK(most_in_any(times, 100ms) <= 11);
}

TEST_CASE("window limiters: numbers that make no sense are refused") {
  CHECK_THROWS_AS(weir::fixed_window_limiter(0, 1s), std::invalid_argument);
  CHECK_THROWS_AS(weir::fixed_window_limiter(1, 0s), std::invalid_argument);
  CHECK_THROWS_AS(weir::sliding_window_limiter(0, 1s), std::invalid_argument);
  CHECK_THROWS_AS(weir::approximate_window_limiter(1, -1s), std::invalid_argument);
  weir::sliding_window_limiter limiter(2, 1s);
  CHECK_THROWS_AS(limiter.set_rate(0, 1s), std::invalid_argument);
  CHECK(limiter.most() == 2);
}
