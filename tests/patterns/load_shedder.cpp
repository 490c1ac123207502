#include "calls.hpp"

#include <weir/patterns/codel.hpp>
#include <weir/patterns/load_shedder.hpp>

using test::elapsed;
using test::simulate;

namespace {

/// Calls that come every `gap`, take `length` at one of `places` places, and end somehow.
struct load {
  int well = 0;
  int shed = 0;
  weir::duration longest_wait{};       // of those that were served
  weir::duration longest_wait_late{};  // the same, of those that came in the second half
  std::vector<weir::duration> shed_at;

  weir::task<> run(weir::load_shedder& door, int number, weir::duration gap, weir::duration length) {
    auto caller = [&](int n) -> weir::task<> {
      const weir::duration came = elapsed();
      auto call = [&]() -> weir::task<> {
        const weir::duration waited = elapsed() - came;
        longest_wait = std::max(longest_wait, waited);
        if (n > number / 2) longest_wait_late = std::max(longest_wait_late, waited);
        co_await weir::sleep_for(length);
        ++well;
      };
      auto ended = co_await weir::as_result(door.run(call));
      if (!ended) {
        CHECK(test::failed_with<weir::load_shed>(ended));
        ++shed;
        shed_at.push_back(elapsed());
      }
    };
    auto body = [&](weir::task_group& group) -> weir::task<> {
      for (int n = 0; n < number; ++n) {
        group.spawn(caller, n);
        if (gap > 0ns) co_await weir::sleep_for(gap);
      }
      co_await group.join();
    };
    co_await weir::with_task_group(body);
  }
};

}  // namespace

TEST_CASE("codel: drops nothing before an interval above the target, then after interval / sqrt(n)") {
  simulate([]() -> weir::task<> {
    weir::codel queue({.target = 5ms, .interval = 100ms});
    std::vector<weir::duration> dropped;
    const auto one = [&](weir::duration waited) {
      const bool served = queue.admit(waited);
      if (!served) dropped.push_back(elapsed());
    };
    for (int i = 0; i < 99; ++i) {
      one(6ms);
      co_await weir::sleep_for(1ms);
    }
    one(4ms);  // below: it begins anew
    for (int i = 0; i < 500; ++i) {
      one(6ms);
      co_await weir::sleep_for(1ms);
    }
    CHECK(queue.dropping());
    // The first at 99 + 100 ms, the next after 100, 100 / sqrt(2), 100 / sqrt(3), 100 / 2 ms, to the millisecond.
    CHECK(dropped == std::vector<weir::duration>{199ms, 299ms, 370ms, 428ms, 478ms, 523ms, 563ms});
    CHECK(queue.dropped() == 7);
    one(1ms);
    CHECK(!queue.dropping());
  });
}

TEST_CASE("codel: the last one in the queue is never dropped") {
  simulate([]() -> weir::task<> {
    weir::codel queue;
    for (int i = 0; i < 1000; ++i) {
      CHECK(queue.admit(1s, true));
      co_await weir::sleep_for(1ms);
    }
    CHECK(queue.dropped() == 0);
  });
}

TEST_CASE("codel: when the load comes back soon, dropping goes on at the rate it had") {
  simulate([]() -> weir::task<> {
    weir::codel queue({.target = 5ms, .interval = 100ms});
    int dropped = 0;
    const auto overload = [&](int milliseconds) -> weir::task<> {
      dropped = 0;
      for (int i = 0; i < milliseconds; ++i) {
        if (!queue.admit(10ms)) ++dropped;
        co_await weir::sleep_for(1ms);
      }
    };
    co_await overload(1000);
    const int first = dropped;
    CHECK(queue.admit(0ms));
    co_await overload(1000);
    const int soon = dropped;
    CHECK(queue.admit(0ms));
    co_await weir::sleep_for(10s);
    co_await overload(1000);
    CHECK(soon > first + 5);
    CHECK(dropped == first);
  });
}

TEST_CASE("load_shedder: a burst is buffered, then served in time; nobody is refused (S62)") {
  simulate([]() -> weir::task<> {
    weir::load_shedder door({.concurrent = 4, .waiting = 100});
    load burst;
    co_await burst.run(door, 100, 0ns, 2ms);  // 25 rounds of 2 ms: over before the interval is
    CHECK(burst.well == 100);
    CHECK(door.stats().admitted == 100);
    CHECK(door.stats().shed == 0);
  });
}

TEST_CASE("load_shedder: buffer, then slow down, then shed: each step can be seen (S62)") {
  simulate([]() -> weir::task<> {
    weir::load_shedder door({.concurrent = 1, .waiting = 50});
    load some;
    auto body = [&](weir::task_group& group) -> weir::task<> {
      auto runs = [&]() -> weir::task<> { co_await some.run(door, 80, 0ns, 20ms); };
      group.spawn(runs);
      co_await weir::sleep_for(1ms);
      CHECK(door.stats().busy == 1);
      CHECK(door.stats().waiting == 50);  // the buffer, whose callers are held up
      CHECK(door.stats().refused == 29);  // for whom there was no room
      CHECK(!door.shedding());
      co_await weir::sleep_for(300ms);
      CHECK(door.shedding());
      CHECK(door.stats().shed > 0);
      co_await group.join();
    };
    co_await weir::with_task_group(body);
    CHECK(!door.shedding());
    CHECK(some.well + some.shed == 80);
    CHECK(door.stats().shed + door.stats().refused == static_cast<std::uint64_t>(some.shed));
    CHECK(door.stats().waiting == 0);
  });
}

TEST_CASE("load_shedder: under a load a tenth too high waits stay short, where a plain queue grows (S125, S57)") {
  weir::duration waits[2];
  for (const bool shedding : {false, true}) {
    simulate([&]() -> weir::task<> {
      // 10 places of 10 ms serve one a millisecond; one comes every 900 microseconds.
      weir::load_shedder_options options{.concurrent = 10, .waiting = 100'000};
      if (!shedding) options.target = 1h;
      weir::load_shedder door(options);
      load steady;
      co_await steady.run(door, 20'000, 900us, 10ms);
      CHECK(steady.well + steady.shed == 20'000);
      CHECK(steady.well >= 17'900);  // the places have been at work all the time
      CHECK((steady.shed > 0) == shedding);
      waits[shedding ? 1 : 0] = steady.longest_wait_late;
    });
  }
  CHECK(waits[0] > 1900ms);
  CHECK(waits[1] < 150ms);
}

TEST_CASE("load_shedder: a stop while waiting or at work loses no place") {
  for (std::uint64_t seed = 0; seed < static_cast<std::uint64_t>(test::scaled(300, 60)); ++seed) {
    simulate(
        [seed]() -> weir::task<> {
          test::dice dice(seed);
          weir::load_shedder door({.concurrent = 2, .waiting = 6, .target = 1ms, .interval = 4ms});
          int ends = 0;
          auto caller = [&]() -> weir::task<> {
            auto call = [&]() -> weir::task<> {
              const test::counted alive;
              co_await weir::sleep_for((1 + dice.roll(4)) * 1ms);
            };
            auto ended = co_await test::stopped_after(weir::duration(dice.roll(30) * 1ms), door.run(call));
            ++ends;
          };
          auto body = [&](weir::task_group& group) -> weir::task<> {
            for (int i = 0; i < 20; ++i) {
              group.spawn(caller);
              co_await weir::sleep_for(dice.roll(2) * 1ms);
            }
            co_await group.join();
          };
          co_await weir::with_task_group(body);
          CHECK(ends == 20);
          CHECK(door.stats().busy == 0);
          CHECK(door.stats().waiting == 0);
        },
        seed);
    CHECK(test::counted::alive == 0);
  }
}

TEST_CASE("load_shedder and codel: options that make no sense are refused") {
  CHECK_THROWS_AS(weir::load_shedder({.concurrent = 0}), std::invalid_argument);
  CHECK_THROWS_AS(weir::load_shedder({.target = 0ns}), std::invalid_argument);
  CHECK_THROWS_AS(weir::codel({.interval = 0ns}), std::invalid_argument);
}
