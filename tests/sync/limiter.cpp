// What all limiters have in common: the queue, cancellation, reservations, select. With a token bucket for policy.

#include <weir/sync/limiter.hpp>

#include <array>
#include <atomic>
#include <optional>
#include <system_error>
#include <thread>
#include <type_traits>
#include <vector>

#include <weir/sync/rate_limiter.hpp>
#include <weir/sync/select.hpp>

#include "support.hpp"

using test::at;
using test::settle;
using test::simulate;

static_assert(!std::is_copy_constructible_v<weir::rate_limiter> && !std::is_move_constructible_v<weir::rate_limiter>);
static_assert(!std::is_constructible_v<weir::limiter>);
static_assert(!std::is_copy_constructible_v<weir::limiter_reservation>);
static_assert(std::is_nothrow_move_constructible_v<weir::limiter_reservation>);

TEST_CASE("limiter: first come, first served; who asks for much is not passed by those who ask for little") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    weir::rate_limiter limiter(1, 10ms, 3);
    co_await limiter.acquire(3);
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto child = [&](std::uint64_t n, const char* name) -> weir::task<> {
        co_await limiter.acquire(n);
        seen.emplace_back(name);
        seen.push_back(std::to_string((weir::now() - weir::time_point()) / 1ms));
      };
      g.spawn(child, 2u, "two");
      co_await settle();
      g.spawn(child, 3u, "three");
      co_await settle();
      g.spawn(child, 1u, "one");
      co_await weir::sleep_for(10ms);
      CHECK(!limiter.try_acquire());  // one is there, for somebody else
      CHECK(limiter.available() == 0);
      CHECK(limiter.counters().waiting == 3);
    };
    co_await weir::with_task_group(body);
    const auto counters = limiter.counters();
    CHECK(counters.granted == 9);
    CHECK(counters.waits == 3);
    CHECK(counters.refused == 1);
    CHECK(counters.waiting == 0);
  });
  CHECK(seen == test::log{"two", "20", "three", "50", "one", "60"});
}

TEST_CASE("limiter: a stopped waiter takes nothing, and those behind it come sooner, the first one too") {
  simulate([]() -> weir::task<> {
    weir::rate_limiter limiter(1, 10ms, 5);
    co_await limiter.acquire(5);
    std::optional<weir::time_point> first;
    std::optional<weir::time_point> second;
    weir::cancellation_source source;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto large = [&]() -> weir::task<> {
        const auto r = co_await weir::as_result(weir::with_cancellation(source.token(), limiter.acquire(5)));
        CHECK(r.is_cancelled());
      };
      auto small = [&](std::optional<weir::time_point>& when) -> weir::task<> {
        co_await limiter.acquire();
        when = weir::now();
      };
      g.spawn(large);
      co_await settle();
      g.spawn(small, std::ref(first));
      co_await settle();
      g.spawn(small, std::ref(second));
      co_await weir::sleep_for(15ms);
      CHECK(!first);
      source.request_cancellation();
      co_await settle();
      CHECK(first.has_value());  // its token had been there for 5 ms
    };
    co_await weir::with_task_group(body);
    CHECK(second == at(20ms));
    CHECK(limiter.counters().granted == 7);
  });
}

TEST_CASE("limiter: under a cancelled token nothing is taken") {
  simulate([]() -> weir::task<> {
    weir::rate_limiter limiter(1, 1s, 1);
    weir::cancellation_source source;
    source.request_cancellation();
    const auto r = co_await weir::as_result(weir::with_cancellation(source.token(), limiter.acquire()));
    CHECK(r.is_cancelled());
    CHECK(limiter.available() == 1);
  });
}

TEST_CASE("limiter: what was handed over before the stop is delivered") {
  simulate([]() -> weir::task<> {
    weir::rate_limiter limiter(1, 10ms, 2);
    co_await limiter.acquire(2);
    weir::cancellation_source source;
    bool delivered = false;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto before = limiter.reserve(2);
      auto child = [&]() -> weir::task<> {
        const auto r = co_await weir::as_result(weir::with_cancellation(source.token(), limiter.acquire()));
        delivered = r.has_value();
      };
      g.spawn(child);
      co_await weir::sleep_for(15ms);
      CHECK(!delivered);
      CHECK(before.cancel());  // and so it has its token
      source.request_cancellation();
    };
    co_await weir::with_task_group(body);
    CHECK(delivered);
    CHECK(limiter.counters().granted == 3);
  });
}

TEST_CASE("limiter: a deadline that cannot be met fails at once, and one that can does not") {
  simulate([]() -> weir::task<> {
    weir::rate_limiter limiter(1, 10ms, 2);
    co_await limiter.acquire(2);
    const auto late = co_await weir::as_result(weir::with_timeout(10ms, limiter.acquire()));
    CHECK(late.error() == std::errc::timed_out);
    CHECK(weir::now() == at(0ms));
    const auto just = co_await weir::as_result(weir::with_timeout(11ms, limiter.acquire()));
    CHECK(just.has_value());
    CHECK(weir::now() == at(10ms));
    CHECK(limiter.counters().refused == 1);
    // Behind somebody else.
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto child = [&]() -> weir::task<> { co_await limiter.acquire(2); };
      g.spawn(child);
      co_await settle();
      const auto behind = co_await weir::as_result(weir::with_timeout(25ms, limiter.acquire()));
      CHECK(behind.error() == std::errc::timed_out);
      CHECK(weir::now() < at(11ms));
    };
    co_await weir::with_task_group(body);
  });
}

TEST_CASE("limiter: more than can ever be had is an error that says so") {
  simulate([]() -> weir::task<> {
    weir::rate_limiter limiter(1, 1s, 3);
    const auto r = co_await weir::as_result(limiter.acquire(4));
    CHECK(r.error() == std::errc::invalid_argument);
    CHECK(std::string(test::unobserved::what(r.exception())).find("acquire of 4 from a rate_limiter") !=
          std::string::npos);
    CHECK_THROWS_AS(static_cast<void>(limiter.try_acquire(4)), std::system_error);
    CHECK_THROWS_AS(static_cast<void>(limiter.reserve(4)), std::system_error);
    bool thrown = false;
    try {
      co_await limiter.acquire(4);
    } catch (const std::system_error& e) {
      thrown = e.code() == std::errc::invalid_argument;
    }
    CHECK(thrown);
    CHECK(limiter.most() == 3);
    CHECK(limiter.available() == 3);
    co_await limiter.acquire(0);
    CHECK(limiter.available() == 3);
  });
}

TEST_CASE("limiter: reservations are in the queue, and say when") {
  simulate([]() -> weir::task<> {
    weir::rate_limiter limiter(1, 10ms, 2);
    const auto now = limiter.reserve(2);
    CHECK(now.when() == at(0ms));
    auto first = limiter.reserve();
    CHECK(first.when() == at(10ms));
    CHECK(first.count() == 1);
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto child = [&]() -> weir::task<> {
        co_await limiter.acquire(2);
        CHECK(weir::now() == at(30ms));
      };
      g.spawn(child);
      co_await settle();
      auto last = limiter.reserve();
      CHECK(last.when() == at(40ms));
      CHECK(!limiter.try_acquire());
      auto moved = std::move(last);
      CHECK(moved.when() == at(40ms));
      CHECK(!last.cancel());
      co_await weir::sleep_until(first.when());
      CHECK(!first.cancel());  // its time has come: it is used
      co_await weir::sleep_until(moved.when());
      CHECK(!moved.cancel());
    };
    co_await weir::with_task_group(body);
    CHECK(limiter.counters().granted == 6);
    CHECK(limiter.available() == 0);
  });
}

TEST_CASE("limiter: a reservation that ends before its time gives its tokens back to those behind it") {
  simulate([]() -> weir::task<> {
    weir::rate_limiter limiter(1, 10ms, 5);
    co_await limiter.acquire(5);
    auto body = [&](weir::task_group& g) -> weir::task<> {
      std::optional<weir::limiter_reservation> place(limiter.reserve(3));
      CHECK(place->when() == at(30ms));
      auto child = [&]() -> weir::task<> {
        co_await limiter.acquire();
        CHECK(weir::now() == at(10ms));
      };
      g.spawn(child);
      co_await settle();
      CHECK(limiter.reserve().when() == at(50ms));  // and given back at once
      place.reset();
      CHECK(limiter.reserve().when() == at(20ms));
      co_await g.join();
    };
    co_await weir::with_task_group(body);
    CHECK(limiter.counters().granted == 6);
  });
}

TEST_CASE("limiter: as a case of a select it takes its tokens or leaves no trace") {
  simulate([]() -> weir::task<> {
    weir::rate_limiter a(1, 10ms, 1);
    weir::rate_limiter b(1, 15ms, 1, 0);
    auto chosen = co_await weir::select(a.acquire(), b.acquire());
    CHECK(chosen.index() == 0);
    auto again = co_await weir::select(a.acquire(), b.acquire());
    CHECK(again.index() == 0);
    CHECK(weir::now() == at(10ms));
    auto other = co_await weir::select(a.acquire(), b.acquire());
    CHECK(other.index() == 1);
    CHECK(weir::now() == at(15ms));
    auto late = co_await weir::select_ordered(a.acquire(), b.acquire(), weir::sleep_for(1ms));
    CHECK(late.index() == 2);
    CHECK(!weir::try_select(a.acquire(), b.acquire()).has_value());
    co_await weir::sleep_for(14ms);
    CHECK(a.available() == 1);
    CHECK(b.available() == 1);
    CHECK(weir::try_select(a.acquire()).has_value());
    CHECK(a.available() == 0);
  });
}

TEST_CASE("limiter: who waits behind a case that was not chosen goes on") {
  simulate([]() -> weir::task<> {
    weir::rate_limiter limiter(1, 10ms, 5);
    co_await limiter.acquire(5);
    weir::semaphore other(0);
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto chooses = [&]() -> weir::task<> {
        auto got = co_await weir::select(limiter.acquire(5), other.acquire());
        CHECK(got.index() == 1);
      };
      bool through = false;
      auto behind = [&]() -> weir::task<> {
        co_await limiter.acquire();
        through = true;
      };
      g.spawn(chooses);
      co_await settle();
      g.spawn(behind);
      co_await weir::sleep_for(20ms);
      CHECK(!through);
      other.release();
      co_await settle();
      CHECK(through);
      co_await g.join();
    };
    co_await weir::with_task_group(body);
  });
}

TEST_CASE("limiter: seeds: in no time is more granted than the rate gives, nothing is lost, the order is kept") {
  long entered = 0;
  long stopped = 0;
  const std::uint64_t seeds = test::scaled(5000, 500);
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    constexpr std::uint64_t burst = 4;
    constexpr weir::duration each = 3us;
    test::dice dice(seed);
    struct grant {
      weir::time_point when;
      std::uint64_t n;
    };
    std::vector<grant> grants;
    std::array<weir::cancellation_source, 6> sources;
    std::uint64_t asked = 0;
    std::uint64_t last = 0;
    weir::time_point last_time{};
    bool wrong = false;
    std::uint64_t granted = 0;
    auto main = [&]() -> weir::task<> {
      weir::rate_limiter limiter(1, each, burst);
      weir::semaphore never(0);
      auto visit = [&]() -> weir::task<> {
        const std::uint64_t n = 1 + dice.roll(burst);
        const unsigned kind = dice.roll(6);
        if (kind == 0) {
          auto chosen = co_await weir::select(limiter.acquire(n), never.acquire(), weir::sleep_for(5us));
          if (chosen.index() == 2) co_return;
        } else if (kind == 1) {
          auto place = limiter.reserve(n);
          co_await weir::sleep_until(place.when());
          if (place.cancel()) wrong = true;
          // If one before it was cancelled its turn has come before the time that was promised.
          granted += n;
          co_return;
        } else {
          const std::uint64_t ticket = ++asked;
          co_await limiter.acquire(n);
          // Those who are let through at one time go on in any order.
          if (ticket < last && weir::now() > last_time) wrong = true;
          last = ticket;
          last_time = weir::now();
        }
        grants.push_back({weir::now(), n});
        granted += n;
        ++entered;
        co_await weir::sleep_for(weir::duration(dice.roll(8000)));
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
        if (dice.roll(2) != 0) co_await weir::sleep_for(weir::duration(dice.roll(30000)));
        other.request_cancellation();
      };
      auto body = [&](weir::task_group& g) {
        for (auto& source : sources) g.spawn(again, std::ref(source));
        for (int i = 0; i < 3; ++i) g.spawn(cancels, std::ref(sources[dice.roll(6)]), dice.roll(20));
      };
      co_await test::together(body);
      const auto counters = limiter.counters();
      // A stop may come when tokens were granted already.
      if (counters.waiting != 0 || counters.granted < granted) wrong = true;
    };
    simulate(main, seed);
    for (std::size_t i = 0; i < grants.size() && !wrong; ++i) {
      std::uint64_t sum = 0;
      for (std::size_t j = i; j < grants.size() && !wrong; ++j) {
        sum += grants[j].n;
        // The clock of a simulation stands at the microseconds of timers.
        const weir::duration length = grants[j].when - grants[i].when + 1us;
        wrong = sum > burst + static_cast<std::uint64_t>(length / each) + 1;
      }
    }
    CAPTURE(seed);
    REQUIRE(!wrong);
  }
  CHECK(entered > static_cast<long>(5 * seeds));
  CHECK(stopped > static_cast<long>(seeds / 2));
}

TEST_CASE("limiter: plain threads and tasks of two runtimes share one") {
  constexpr std::uint64_t burst = 5;
  weir::rate_limiter limiter(200, 1ms, burst);
  std::atomic<std::uint64_t> taken{0};
  const int rounds = test::scaled(600, 100);
  const auto start = std::chrono::steady_clock::now();
  auto task = [&](unsigned salt) -> weir::task<> {
    weir::semaphore never(0);
    for (int i = 0; i < rounds; ++i) {
      const std::uint64_t n = 1 + (static_cast<unsigned>(i) + salt) % 3;
      if (i % 4 == 0) {
        weir::cancellation_source source;
        auto cancels = [&]() -> weir::task<> {
          co_await weir::yield();
          source.request_cancellation();
        };
        auto takes = [&]() -> weir::task<> {
          const auto r = co_await weir::as_result(weir::with_cancellation(source.token(), limiter.acquire(n)));
          if (r.has_value()) taken += n;
        };
        co_await weir::when_all(cancels(), takes());
      } else if (i % 4 == 1) {
        auto got = co_await weir::select(limiter.acquire(n), never.acquire(), weir::sleep_for(20us));
        if (got.index() == 0) taken += n;
      } else if (i % 4 == 2) {
        auto place = limiter.reserve(n);
        co_await weir::sleep_until(place.when());
        if (!place.cancel()) taken += n;
      } else {
        const auto r = co_await weir::as_result(weir::with_timeout(100us, limiter.acquire(n)));
        if (r.has_value()) taken += n;
      }
    }
  };
  auto main = [&]() -> weir::task<> { co_await weir::when_all(task(0), task(1), task(2)); };
  {
    std::vector<std::thread> threads;
    threads.emplace_back([&] { weir::run(main(), {.workers = 2}); });
    threads.emplace_back([&] { weir::run(main(), {.workers = 1}); });
    threads.emplace_back([&] {
      for (int i = 0; i < rounds; ++i) {
        limiter.acquire_blocking(1 + static_cast<unsigned>(i) % 3);
        taken += 1 + static_cast<unsigned>(i) % 3;
      }
    });
    threads.emplace_back([&] {
      for (int i = 0; i < rounds; ++i) {
        limiter.set_rate(150 + static_cast<unsigned>(i) % 50, 1ms);
        if (limiter.try_acquire()) ++taken;
      }
    });
    for (std::thread& t : threads) t.join();
  }
  const std::chrono::nanoseconds passed = std::chrono::steady_clock::now() - start;
  CHECK(taken <= limiter.counters().granted);
  CHECK(limiter.counters().granted <= burst + static_cast<std::uint64_t>(passed.count()) * 200 / 1000000 + 1);
  CHECK(limiter.counters().waiting == 0);
}

TEST_CASE("limiter: a thread that changes the rate serves tasks on the only worker of a runtime") {
  weir::rate_limiter limiter(1, 1h, 1);
  std::atomic<bool> waits{false};
  auto main = [&]() -> weir::task<> {
    co_await limiter.acquire();
    waits = true;
    co_await limiter.acquire();  // in an hour, or in 10 us
  };
  std::thread other([&] {
    while (!waits) std::this_thread::yield();
    while (limiter.counters().waiting == 0) std::this_thread::yield();
    limiter.set_rate(1, 10us);
  });
  weir::run(main(), {.workers = 1});
  other.join();
  CHECK(limiter.counters().granted == 2);
}

TEST_CASE("limiter: acquire_blocking on a worker throws where it would have to wait") {
  simulate([]() -> weir::task<> {
    weir::rate_limiter limiter(1, 1s, 1);
    limiter.acquire_blocking();
    CHECK_THROWS_AS(limiter.acquire_blocking(), std::logic_error);
    co_return;
  });
}

TEST_CASE("limiter: waiting allocates nothing") {
  simulate([]() -> weir::task<> {
    weir::rate_limiter limiter(1, 10us, 1);
    std::uint64_t before = 0;
    auto uses = [&]() -> weir::task<> {
      for (int i = 0; i < 100; ++i) {
        co_await limiter.acquire();
        if (i == 10) before = test::allocations();
      }
      CHECK(test::allocations() == before);
    };
    co_await weir::when_all(uses(), uses(), uses());
  });
}

#if !defined(NDEBUG)
TEST_CASE("limiter: destroying one under a waiter is told") {
  const std::string said = test::last_words_of([] {
    simulate([]() -> weir::task<> {
      std::optional<weir::rate_limiter> limiter(std::in_place, 1u, 1s, 1u, 0u);
      auto body = [&](weir::task_group& g) -> weir::task<> {
        auto child = [&]() -> weir::task<> { co_await limiter->acquire(); };
        g.spawn(child);
        co_await settle();
        limiter.reset();
      };
      co_await weir::with_task_group(body);
    });
  });
  CHECK(said == "weir: a limiter was destroyed while somebody waits for it\n");
}
#endif
