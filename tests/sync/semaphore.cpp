#include <weir/sync/semaphore.hpp>

#include <atomic>
#include <deque>
#include <stdexcept>
#include <thread>
#include <type_traits>
#include <vector>

#include <weir/sync/select.hpp>

#include "support.hpp"

using test::settle;
using test::simulate;

static_assert(!std::is_copy_constructible_v<weir::semaphore> && !std::is_move_constructible_v<weir::semaphore>);
static_assert(!std::is_copy_constructible_v<weir::semaphore_permit>);
static_assert(std::is_nothrow_move_constructible_v<weir::semaphore_permit>);

namespace {

weir::task<> hold(weir::semaphore& s, std::size_t n, test::log& seen, const char* name, weir::duration length) {
  const auto permit = co_await s.acquire(n);
  seen.push_back(name);
  co_await weir::sleep_for(length);
}

}  // namespace

TEST_CASE("semaphore: permits are taken, and given back at the end of their life") {
  simulate([]() -> weir::task<> {
    weir::semaphore s(3);
    {
      const auto two = co_await s.acquire(2);
      CHECK(static_cast<bool>(two));
      CHECK(two.count() == 2);
      CHECK(s.available() == 1);
      auto one = co_await s.acquire();
      CHECK(s.available() == 0);
      const auto none = s.try_acquire();
      CHECK(!none);
      one.release();
      one.release();
      CHECK(!one);
      CHECK(s.available() == 1);
    }
    CHECK(s.available() == 3);
    const auto zero = co_await s.acquire(0);
    CHECK(static_cast<bool>(zero));
  });
}

TEST_CASE("semaphore: a permit moves, is split, and can be forgotten") {
  weir::semaphore s(5);
  auto all = s.try_acquire(5);
  auto part = all.split(2);
  CHECK(all.count() == 3);
  CHECK(part.count() == 2);
  part = std::move(all);
  CHECK(part.count() == 3);
  CHECK(s.available() == 2);
  CHECK(part.forget() == 3);
  CHECK(!part);
  part.release();
  CHECK(s.available() == 2);
  s.release(3);
  CHECK(s.available() == 5);
}

TEST_CASE("semaphore: first come, first served; who asks for much is not passed by those who ask for little") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    weir::semaphore s(3);
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto child = [&](std::size_t n, const char* name, weir::duration length, weir::duration start) -> weir::task<> {
        co_await weir::sleep_for(start);
        co_await hold(s, n, seen, name, length);
      };
      g.spawn(child, 2u, "two", weir::duration(10ms), weir::duration(0));
      g.spawn(child, 3u, "three", weir::duration(10ms), weir::duration(1ms));
      g.spawn(child, 1u, "one", weir::duration(10ms), weir::duration(2ms));
      co_await weir::sleep_for(3ms);
      CHECK(s.available() == 1);
      const auto barging = s.try_acquire();
      CHECK(!barging);
    };
    co_await weir::with_task_group(body);
    CHECK(weir::now() == weir::time_point() + 30ms);
  });
  CHECK(seen == test::log{"two", "three", "one"});
}

TEST_CASE("semaphore: a stopped waiter takes nothing, and lets those go on who waited behind it only") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    weir::semaphore s(3);
    const auto two = co_await s.acquire(2);
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto large = [&]() -> weir::task<> {
        const auto r = co_await weir::as_result(weir::with_timeout(5ms, s.acquire(3)));
        CHECK(r.error() == std::errc::timed_out);
        seen.push_back("large stopped");
      };
      g.spawn(large);
      co_await settle();
      g.spawn(hold, std::ref(s), 1u, std::ref(seen), "small", weir::duration(1ms));
      co_await weir::sleep_for(4ms);
      CHECK(seen.empty());
      co_await g.join();
    };
    co_await weir::with_task_group(body);
    CHECK(s.available() == 1);
    CHECK(weir::now() < weir::time_point() + 7ms);
  });
  CHECK(seen.size() == 2);
}

TEST_CASE("semaphore: under a cancelled token nothing is taken; what was handed over before the stop is delivered") {
  simulate([]() -> weir::task<> {
    weir::semaphore s(1);
    weir::cancellation_source source;
    source.request_cancellation();
    const auto r = co_await weir::as_result(weir::with_cancellation(source.token(), s.acquire()));
    CHECK(r.is_cancelled());
    CHECK(s.available() == 1);

    auto held = co_await s.acquire();
    weir::cancellation_source late;
    bool delivered = false;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto child = [&]() -> weir::task<> {
        const auto granted = co_await weir::as_result(weir::with_cancellation(late.token(), s.acquire()));
        delivered = granted.has_value();
      };
      g.spawn(child);
      co_await settle();
      held.release();
      late.request_cancellation();
      co_await g.join();
    };
    co_await weir::with_task_group(body);
    CHECK(delivered);
    CHECK(s.available() == 1);
  });
}

TEST_CASE("semaphore: released ones are made, and count events") {
  simulate([]() -> weir::task<> {
    weir::semaphore s(0);
    int through = 0;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto waits = [&]() -> weir::task<> {
        auto permit = co_await s.acquire();
        permit.forget();
        ++through;
      };
      for (int i = 0; i < 5; ++i) g.spawn(waits);
      co_await settle();
      s.release(2);
      co_await settle();
      CHECK(through == 2);
      s.release(4);
      co_await g.join();
    };
    co_await weir::with_task_group(body);
    CHECK(through == 5);
    CHECK(s.available() == 1);
  });
}

TEST_CASE("semaphore: as a case of a select it takes its permits or leaves no trace") {
  simulate([]() -> weir::task<> {
    weir::semaphore a(1);
    weir::semaphore b(0);
    {
      auto chosen = co_await weir::select(a.acquire(), b.acquire());
      CHECK(chosen.index() == 0);
      CHECK(a.available() == 0);
      auto late = co_await weir::select_ordered(a.acquire(), b.acquire(2), weir::sleep_for(1ms));
      CHECK(late.index() == 2);
      auto body = [&](weir::task_group& g) -> weir::task<> {
        auto waits = [&]() -> weir::task<> {
          auto got = co_await weir::select(a.acquire(), b.acquire(2));
          CHECK(got.index() == 1);
          CHECK(got.template get<1>().count() == 2);
        };
        g.spawn(waits);
        co_await settle();
        b.release();
        co_await settle();
        CHECK(b.available() == 1);
        b.release();
        co_await g.join();
      };
      co_await weir::with_task_group(body);
    }
    CHECK(a.available() == 1);
    CHECK(b.available() == 2);
  });
}

TEST_CASE("semaphore: who waits behind a case that was not chosen goes on") {
  simulate([]() -> weir::task<> {
    weir::semaphore s(1);
    weir::semaphore other(0);
    bool through = false;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto chooses = [&]() -> weir::task<> {
        auto got = co_await weir::select(s.acquire(2), other.acquire());
        CHECK(got.index() == 1);
      };
      auto behind = [&]() -> weir::task<> {
        const auto permit = co_await s.acquire();
        through = true;
      };
      g.spawn(chooses);
      co_await settle();
      g.spawn(behind);
      co_await settle();
      CHECK(!through);
      other.release();
      co_await settle();
      CHECK(through);
      co_await g.join();
    };
    co_await weir::with_task_group(body);
    CHECK(s.available() == 1);
  });
}

TEST_CASE("semaphore: seeds: no permit is lost or made, and the order is kept, whenever waiters are cancelled") {
  long entered = 0;
  long stopped = 0;
  const std::uint64_t seeds = test::scaled(10000, 1000);
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    constexpr std::size_t all = 4;
    test::dice dice(seed);
    weir::semaphore s(all);
    weir::semaphore never(0);
    std::array<weir::cancellation_source, 6> sources;
    std::size_t held = 0;
    bool wrong = false;
    auto visit = [&]() -> weir::task<> {
      const std::size_t n = 1 + dice.roll(all);
      weir::semaphore_permit permit;
      if (dice.roll(3) == 0) {
        auto chosen = co_await weir::select(s.acquire(n), never.acquire(), weir::sleep_for(weir::duration(5)));
        if (chosen.index() == 2) co_return;
        permit = std::move(chosen).template get<0>();
      } else {
        permit = co_await s.acquire(n);
      }
      held += n;
      wrong = wrong || held > all || held + s.available() > all;
      ++entered;
      struct leave {
        std::size_t& count;
        std::size_t n;
        ~leave() { count -= n; }
      } const leaves{held, n};
      co_await weir::sleep_for(weir::duration(dice.roll(4)));
    };
    auto again = [&](weir::cancellation_source& source) -> weir::task<> {
      for (int n = 0; n < 4; ++n) {
        const auto r = co_await weir::as_result(weir::with_cancellation(source.token(), visit()));
        if (r.has_value()) continue;
        ++stopped;
        break;
      }
    };
    auto cancels = [&](weir::cancellation_source& other, unsigned delay) -> weir::task<> {
      for (; delay > 0; --delay) co_await weir::yield();
      if (dice.roll(2) != 0) co_await weir::sleep_for(weir::duration(dice.roll(12)));
      other.request_cancellation();
    };
    auto body = [&](weir::task_group& g) {
      for (auto& source : sources) g.spawn(again, std::ref(source));
      for (int i = 0; i < 3; ++i) g.spawn(cancels, std::ref(sources[dice.roll(6)]), dice.roll(20));
    };
    simulate([&] { return test::together(body); }, seed);
    CAPTURE(seed);
    REQUIRE(!wrong);
    REQUIRE(s.available() == all);
  }
  CHECK(entered > static_cast<long>(5 * seeds));
  CHECK(stopped > static_cast<long>(seeds / 2));
}

TEST_CASE("semaphore: plain threads and tasks of two runtimes share one") {
  weir::semaphore s(3);
  std::atomic<int> inside{0};
  std::atomic<bool> wrong{false};
  std::atomic<long> visits{0};
  const int rounds = test::scaled(3000, 300);
  auto enter = [&](std::size_t n) {
    if (inside.fetch_add(static_cast<int>(n)) + static_cast<int>(n) > 3) wrong = true;
    ++visits;
    inside.fetch_sub(static_cast<int>(n));
  };
  auto task = [&](unsigned salt) -> weir::task<> {
    for (int i = 0; i < rounds; ++i) {
      const std::size_t n = 1 + (static_cast<unsigned>(i) + salt) % 3;
      const auto r = co_await weir::as_result(weir::with_timeout(std::chrono::microseconds(20), s.acquire(n)));
      if (!r.has_value()) continue;
      enter(n);
    }
  };
  auto main = [&]() -> weir::task<> { co_await weir::when_all(task(0), task(1), task(2)); };
  {
    std::vector<std::thread> threads;
    for (int t = 0; t < 2; ++t) threads.emplace_back([&] { weir::run(main(), {.workers = 2}); });
    threads.emplace_back([&] {
      for (int i = 0; i < rounds; ++i) {
        const auto permit = s.acquire_blocking(1 + static_cast<unsigned>(i) % 3);
        enter(permit.count());
      }
    });
    for (std::thread& t : threads) t.join();
  }
  CHECK(!wrong);
  CHECK(visits >= rounds);
  CHECK(s.available() == 3);
}

TEST_CASE("semaphore: acquire_blocking on a worker throws where it would have to wait") {
  simulate([]() -> weir::task<> {
    weir::semaphore s(1);
    const auto held = s.acquire_blocking();
    CHECK_THROWS_AS(static_cast<void>(s.acquire_blocking()), std::logic_error);
    co_return;
  });
}

TEST_CASE("semaphore: waiting allocates nothing") {
  simulate([]() -> weir::task<> {
    weir::semaphore s(1);
    std::uint64_t before = 0;
    auto uses = [&]() -> weir::task<> {
      for (int i = 0; i < 100; ++i) {
        const auto permit = co_await s.acquire();
        if (i == 10) before = test::allocations();
        co_await weir::yield();
      }
      CHECK(test::allocations() == before);
    };
    co_await weir::when_all(uses(), uses(), uses());
  });
}
