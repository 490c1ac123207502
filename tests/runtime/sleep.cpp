#include <chrono>
#include <functional>

#include "support.hpp"

using test::simulate;

TEST_CASE("sleeps end at their time, in its order, and never early") {
  simulate([]() -> weir::task<> {
    std::vector<int> order;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto one = [&](int ms) -> weir::task<> {
        const weir::time_point begin = weir::now();
        co_await weir::sleep_for(std::chrono::milliseconds(ms));
        CHECK(weir::now() == begin + std::chrono::milliseconds(ms));
        order.push_back(ms);
      };
      for (int ms : {5, 1, 4000, 3, 70, 2}) g.spawn(one, ms);
      co_await g.join();
    };
    co_await weir::with_task_group(body);
    CHECK(order == std::vector<int>{1, 2, 3, 5, 70, 4000});
  });
}

TEST_CASE("zero and less complete at once; fractions of a microsecond are rounded up") {
  simulate([]() -> weir::task<> {
    co_await weir::sleep_for(0s);
    co_await weir::sleep_for(-1h);
    co_await weir::sleep_until(weir::now());
    co_await weir::sleep_until(weir::now() - 1s);
    CHECK(weir::now() == weir::time_point());
    co_await weir::sleep_for(1ns);
    CHECK(weir::now() == weir::time_point() + 1us);
    co_await weir::sleep_for(std::chrono::duration<double>(1.5));
    CHECK(weir::now() >= weir::time_point() + 1500ms);
    CHECK(weir::now() <= weir::time_point() + 1500ms + 2us);
  });
}

TEST_CASE("sleeps of years, and of longer than any clock, can be stopped") {
  simulate([]() -> weir::task<> {
    co_await weir::sleep_for(std::chrono::years(20));
    CHECK(weir::now() >= weir::time_point() + std::chrono::years(20));
    for (auto length : {std::chrono::hours::max(), std::chrono::hours(24 * 365 * 290)}) {
      const auto r = co_await weir::as_result(weir::with_timeout(1h, weir::sleep_for(length)));
      CHECK(r.error() == std::errc::timed_out);
    }
    const auto r = co_await weir::as_result(weir::with_timeout(1h, weir::sleep_until(weir::time_point::max())));
    CHECK(r.error() == std::errc::timed_out);
  });
}

TEST_CASE("a sleep under a stop ends at once, however short it is") {
  simulate([]() -> weir::task<> {
    const auto r = co_await weir::as_result(weir::with_timeout(0s, test::nap(0s)));
    CHECK(r.error() == std::errc::timed_out);
    const auto leaf = co_await weir::as_result(weir::with_timeout(0s, weir::sleep_for(1ns)));
    CHECK(leaf.error() == std::errc::timed_out);
    const auto long_one = co_await weir::as_result(weir::with_timeout(0s, test::nap(1h)));
    CHECK(long_one.error() == std::errc::timed_out);
    CHECK(weir::now() == weir::time_point());
  });
}

TEST_CASE("sleeps that are due together end in the order in which they were armed, on a real worker") {
  // On a machine that is busy with other things it may be past before all are armed: then later.
  bool armed_in_time = false;
  auto main = [&](weir::duration ahead) -> weir::task<bool> {
    std::vector<int> order;
    const weir::time_point due = weir::now() + ahead;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto one = [&](int i) -> weir::task<> {
        co_await weir::sleep_until(due);
        order.push_back(i);
      };
      // Each is armed before the next is spawned.
      for (int i = 0; i < 50; ++i) {
        g.spawn(one, i);
        co_await weir::yield();
      }
      armed_in_time = weir::now() < due;
      co_await g.join();
    };
    co_await weir::with_task_group(body);
    co_return std::is_sorted(order.begin(), order.end()) && weir::now() >= due;
  };
  bool in_order = false;
  for (weir::duration ahead = 2ms; !armed_in_time && ahead < 10s; ahead *= 2) {
    in_order = weir::run(main(ahead), {.workers = 1});
  }
  CHECK(armed_in_time);
  CHECK(in_order);
}

TEST_CASE("a task that is always ready does not keep a timer from firing") {
  auto main = []() -> weir::task<> {
    bool fired = false;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto timer = [&]() -> weir::task<> {
        co_await weir::sleep_for(1ms);
        fired = true;
      };
      g.spawn(timer);
      while (!fired) co_await weir::checkpoint();
    };
    co_await weir::with_task_group(body);
    CHECK(fired);
  };
  weir::run(main(), {.workers = 1});
}

TEST_CASE("a worker that spins does not enter the kernel for sleeps that are shorter than that") {
  std::uint64_t parks = 0;
  auto main = [&]() -> weir::task<> {
    const std::uint64_t before = weir::counters().total.parks;
    for (int i = 0; i < 200; ++i) co_await weir::sleep_for(20us);
    parks = weir::counters().total.parks - before;
  };
  weir::run(main(), {.workers = 1, .spin = 10s});
  CHECK(parks == 0);
}
