#include "calls.hpp"

#include <weir/patterns/bulkhead.hpp>

using test::elapsed;
using test::simulate;

TEST_CASE("bulkhead: so many at work, so many waiting, and the rest refused at once") {
  simulate([]() -> weir::task<> {
    weir::bulkhead places({.concurrent = 3, .waiting = 5});
    int now = 0;
    int most = 0;
    int refused = 0;
    std::vector<int> order;
    auto caller = [&](int n) -> weir::task<> {
      co_await weir::sleep_for(n * 1ms);
      auto call = [&]() -> weir::task<> {
        order.push_back(n);
        most = std::max(most, ++now);
        co_await weir::sleep_for(1s);
        --now;
      };
      auto ended = co_await weir::as_result(places.run(call));
      if (!ended) {
        CHECK(test::failed_with<weir::bulkhead_full>(ended));
        CHECK(elapsed() == n * 1ms);
        ++refused;
      }
    };
    auto body = [&](weir::task_group& group) -> weir::task<> {
      for (int n = 0; n < 20; ++n) group.spawn(caller, n);
      co_await weir::sleep_for(100ms);
      CHECK(places.stats().busy == 3);
      CHECK(places.stats().waiting == 5);
      co_await group.join();
    };
    co_await weir::with_task_group(body);
    CHECK(most == 3);
    CHECK(refused == 12);
    CHECK(order == test::up_to(8));
    const weir::bulkhead_stats s = places.stats();
    CHECK(s.admitted == 8);
    CHECK(s.refused == 12);
    CHECK(s.busy == 0);
    CHECK(s.waiting == 0);
  });
}

TEST_CASE("bulkhead: with 1000 waiting the next one is dropped and counted, and the ingest path does not wait (S57)") {
  simulate([]() -> weir::task<> {
    weir::bulkhead consumer({.concurrent = 1, .waiting = 1000});
    int done = 0;
    auto ingest = [&]() -> weir::task<> {
      auto call = [&]() -> weir::task<> {
        co_await weir::sleep_for(1ms);
        ++done;
      };
      auto ended = co_await weir::as_result(consumer.run(call));
      CHECK((ended.has_value() || elapsed() == 0ns));
    };
    auto all = [&](weir::task_group& group) {
      for (int i = 0; i < 5000; ++i) group.spawn(ingest);
    };
    co_await test::together(all);
    CHECK(done == 1001);
    CHECK(consumer.stats().refused == 3999);
  });
}

TEST_CASE("bulkhead: a longest wait") {
  simulate([]() -> weir::task<> {
    weir::bulkhead places({.concurrent = 1, .waiting = 10, .longest_wait = 1500ms});
    test::log seen;
    auto caller = [&](const char* name) -> weir::task<> {
      auto call = [&]() -> weir::task<> { co_await weir::sleep_for(1s); };
      auto ended = co_await weir::as_result(places.run(call));
      seen.push_back(std::string(name) + (ended                                           ? " well"
                                          : test::failed_with<weir::bulkhead_full>(ended) ? " full"
                                                                                          : ""));
      CHECK(elapsed() == (ended ? (seen.size() == 1 ? 1000ms : 2000ms) : 1500ms));
    };
    auto body = [&](weir::task_group& group) -> weir::task<> {
      for (const char* name : {"a", "b", "c"}) {
        group.spawn(caller, name);
        co_await weir::yield();
      }
      co_await group.join();
    };
    co_await weir::with_task_group(body);
    CHECK(seen.size() == 3);
    CHECK(places.stats().admitted == 2);
    CHECK(places.stats().too_long == 1);
    CHECK(places.stats().waiting == 0);
  });
}

TEST_CASE(
    "bulkhead: a stop while waiting leaves the queue; one at work gives its place to the next; so does a failure") {
  simulate([]() -> weir::task<> {
    weir::bulkhead places({.concurrent = 1, .waiting = 2});
    std::vector<int> order;
    auto caller = [&](int n, weir::duration stop) -> weir::task<> {
      const test::counted alive;
      auto call = [&, n]() -> weir::task<> {
        order.push_back(n);
        co_await weir::sleep_for(1s);
        if (n == 2) throw test::reset();
      };
      auto ended = co_await test::stopped_after(stop, places.run(call));
      CHECK(ended.is_cancelled() == (n < 2));
    };
    auto body = [&](weir::task_group& group) -> weir::task<> {
      group.spawn(caller, 0, weir::duration(500ms));  // at work
      co_await weir::sleep_for(1ms);
      group.spawn(caller, 1, weir::duration(100ms));  // waits
      co_await weir::sleep_for(1ms);
      group.spawn(caller, 2, weir::duration(1h));
      co_await weir::sleep_for(200ms);
      CHECK(places.stats().waiting == 1);
      group.spawn(caller, 3, weir::duration(1h));
      co_await group.join();
    };
    co_await weir::with_task_group(body);
    CHECK(order == std::vector<int>{0, 2, 3});
    CHECK(places.stats().busy == 0);
    CHECK(test::counted::alive == 0);
  });
}

TEST_CASE("bulkhead: under many seeds, with stops and failures, no place and no seat is lost or given twice") {
  for (std::uint64_t seed = 0; seed < static_cast<std::uint64_t>(test::scaled(500, 100)); ++seed) {
    simulate(
        [seed]() -> weir::task<> {
          test::dice dice(seed);
          weir::bulkhead places({.concurrent = 2, .waiting = 4, .longest_wait = 8ms});
          int now = 0;
          int ends = 0;
          auto caller = [&]() -> weir::task<> {
            const auto length = weir::duration((1 + dice.roll(5)) * 1ms);
            const bool fails = dice.roll(3) == 0;
            auto call = [&]() -> weir::task<> {
              const test::counted alive;
              CHECK(++now <= 2);
              const auto leave = std::shared_ptr<int>(&now, [](int* n) { --*n; });
              co_await weir::sleep_for(length);
              if (fails) throw test::reset();
            };
            auto ended = co_await test::stopped_after(weir::duration(dice.roll(10) * 1ms), places.run(call));
            ++ends;
          };
          auto body = [&](weir::task_group& group) -> weir::task<> {
            for (int i = 0; i < 12; ++i) {
              group.spawn(caller);
              co_await weir::sleep_for(weir::duration(dice.roll(3) * 1ms));
              CHECK(places.stats().waiting <= 4);
            }
            co_await group.join();
          };
          co_await weir::with_task_group(body);
          CHECK(ends == 12);
          CHECK(now == 0);
          CHECK(places.stats().busy == 0);
          CHECK(places.stats().waiting == 0);
        },
        seed);
    CHECK(test::counted::alive == 0);
  }
}

TEST_CASE("bulkhead: options that make no sense are refused") {
  CHECK_THROWS_AS(weir::bulkhead({.concurrent = 0}), std::invalid_argument);
  CHECK_THROWS_AS(weir::bulkhead({.longest_wait = -1ns}), std::invalid_argument);
}

TEST_CASE("bulkhead: shared by several workers") {
  weir::bulkhead places({.concurrent = 3, .waiting = 1000});
  std::atomic<int> now{0};
  std::atomic<int> most{0};
  weir::runtime world({.workers = 2});
  auto main = [&]() -> weir::task<> {
    auto caller = [&]() -> weir::task<> {
      auto call = [&]() -> weir::task<> {
        const int n = ++now;
        if (n > most) most = n;
        co_await weir::yield();
        --now;
      };
      co_await places.run(call);
    };
    auto all = [&](weir::task_group& group) {
      for (int i = 0; i < 500; ++i) group.spawn(caller);
    };
    co_await test::together(all);
  };
  world.block_on(main());
  CHECK(most <= 3);
  CHECK(places.stats().admitted == 500);
}
