#include "support.hpp"

#include <time.h>

#include <chrono>

using test::simulate;

namespace {

weir::task<int> seven() { co_return 7; }

/// with_timeout inside with_timeout inside ...; a sleep at the bottom.
weir::task<> nested(int depth, weir::duration outermost, weir::duration bottom) {
  const test::counted guard;
  if (depth == 0) {
    co_await weir::sleep_for(bottom);
  } else {
    co_await weir::with_timeout(outermost, nested(depth - 1, outermost + 1s, bottom));
  }
}

}  // namespace

TEST_CASE("with_timeout completes with the operation's value or exception when that comes in time") {
  simulate([]() -> weir::task<> {
    const int value = co_await weir::with_timeout(1s, test::after(999ms, 5));
    CHECK(value == 5);
    auto moved = co_await weir::with_timeout(1s, test::after(1ms, std::make_unique<int>(6)));
    CHECK(*moved == 6);
    std::string thrown;
    try {
      co_await weir::with_timeout(1s, test::fail_after(1ms, "early"));
    } catch (const std::runtime_error& e) {
      thrown = e.what();
    }
    CHECK(thrown == "early");
    co_await weir::with_timeout(1s, weir::sleep_for(1ms));
    CHECK(weir::now() == weir::time_point() + 1002ms);
  });
}

TEST_CASE("with_timeout stops the operation, then throws timed_out, and catch (...) inside never runs") {
  test::log seen;
  bool swallowed = false;
  simulate([&]() -> weir::task<> {
    auto stubborn = [&]() -> weir::task<int> {
      test::mark outer(seen, "outer");
      try {
        test::mark inner(seen, "inner");
        co_await test::stuck(seen, "leaf");
      } catch (...) {
        swallowed = true;
      }
      co_return 1;
    };
    bool threw = false;
    try {
      co_await weir::with_timeout(20ms, stubborn());
    } catch (const weir::timed_out& e) {
      threw = true;
      CHECK(e.code() == std::errc::timed_out);
    }
    CHECK(threw);
    CHECK(weir::now() == weir::time_point() + 20ms);
  });
  CHECK(!swallowed);
  CHECK(seen == test::log{"leaf!", "inner!", "outer!"});
}

TEST_CASE("a length of zero or less has run out at once, but the operation runs up to its first leaf") {
  simulate([]() -> weir::task<> {
    int reached = 0;
    auto work = [&]() -> weir::task<> {
      ++reached;
      co_await weir::sleep_for(1ns);
      ++reached;
    };
    const auto zero = co_await weir::as_result(weir::with_timeout(0s, work()));
    CHECK(zero.error() == std::errc::timed_out);
    const auto negative = co_await weir::as_result(weir::with_timeout(-1h, work()));
    CHECK(negative.error() == std::errc::timed_out);
    CHECK(reached == 2);
    // What never waits completes, and so does a leaf that need not.
    co_await weir::with_timeout(0s, weir::sleep_for(0s));
    co_await weir::with_timeout(0s, weir::checkpoint());
    const int value = co_await weir::with_timeout(0s, seven());
    CHECK(value == 7);
  });
}

TEST_CASE("lengths and points in time beyond every clock mean never") {
  simulate([]() -> weir::task<> {
    const int a = co_await weir::with_timeout(std::chrono::hours::max(), test::after(1h, 1));
    const int b = co_await weir::with_deadline(weir::time_point::max(), test::after(1h, 2));
    const int c = co_await weir::with_timeout(std::chrono::years(400000), test::after(1h, 3));
    CHECK(a + b + c == 6);
  });
}

TEST_CASE(
    "a length of a second and more is counted in ticks of the kernel: not short, and two of them longer at most") {
  const auto length_of = [](const timespec& told) {
    return std::chrono::seconds(told.tv_sec) + std::chrono::nanoseconds(told.tv_nsec);
  };
  timespec step{};
  ::clock_getres(CLOCK_MONOTONIC_COARSE, &step);
  const auto tick = length_of(step);
  const auto coarse_now = [&] {
    timespec told{};
    ::clock_gettime(CLOCK_MONOTONIC_COARSE, &told);
    return weir::time_point(length_of(told));
  };
  int tried = 0;
  int late = 0;  // ticks that came late because the machine itself did not run
  int shorter = 0;
  int longer = 0;
  const auto deadline = []() -> weir::task<weir::time_point> { co_return weir::current_deadline(); };
  const auto main = [&]() -> weir::task<> {
    // At all times between two ticks, which the kernel counts while this computes.
    const weir::time_point end = weir::now() + 10 * tick;
    while (weir::now() < end) {
      for (const auto length : {weir::duration(1s), weir::duration(1h)}) {
        const weir::time_point coarse = coarse_now();
        const weir::time_point before = weir::now();
        const weir::time_point due = co_await weir::with_timeout(length, deadline());
        ++tried;
        if (before > coarse + 2 * tick) {
          ++late;
        } else if (due < before + length) {
          ++shorter;
        }
        if (due > weir::now() + length + 2 * tick) ++longer;
      }
      const weir::time_point before = weir::now();
      const weir::time_point due = co_await weir::with_timeout(999ms, deadline());
      if (due < before + 999ms || due > weir::now() + 999ms) FAIL("below a second it is exact");
    }
  };
  weir::run(main(), {.workers = 1});
  CHECK(longer == 0);
  CHECK(shorter == 0);
  CHECK(late < tried);
}

TEST_CASE("with_deadline takes a point in time; one that is past has run out") {
  simulate([]() -> weir::task<> {
    co_await weir::sleep_for(1s);
    const auto r = co_await weir::as_result(weir::with_deadline(weir::now() - 1ns, test::nap(1ns)));
    CHECK(r.error() == std::errc::timed_out);
    const int ok = co_await weir::with_deadline(weir::now() + 1s, test::after(1ms, 3));
    CHECK(ok == 3);
  });
}

TEST_CASE("nested: the nearer deadline wins, and its own scope answers") {
  simulate([]() -> weir::task<> {
    auto around = [](weir::duration inner, std::string& who) -> weir::task<> {
      try {
        co_await weir::with_timeout(inner, test::nap(1h));
      } catch (const weir::timed_out&) {
        who = "inner";
      }
    };
    std::string who;
    co_await weir::with_timeout(2s, around(1s, who));
    CHECK(who == "inner");
    who = "";
    const auto r = co_await weir::as_result(weir::with_timeout(1s, around(2s, who)));
    CHECK(r.error() == std::errc::timed_out);
    CHECK(who == "");
    // In one expression, and when both run out at once: the outer one was armed first.
    const auto both = co_await weir::as_result(weir::with_timeout(1s, around(1s, who)));
    CHECK(both.error() == std::errc::timed_out);
    CHECK(who == "");
    const weir::time_point start = weir::now();
    const auto one = co_await weir::as_result(weir::with_timeout(3s, weir::with_timeout(1s, test::nap(1h))));
    CHECK(one.error() == std::errc::timed_out);
    CHECK(weir::now() == start + 1s);
  });
}

TEST_CASE("scopes in one expression are right when they begin under a stop") {
  // Each of these is started in a task whose token is cancelled already: all must stop, none may crash or complete.
  for (int kind = 0; kind < 6; ++kind) {
    CAPTURE(kind);
    test::log seen;
    simulate([&]() -> weir::task<> {
      weir::cancellation_source source;
      source.request_cancellation();
      auto work = [&]() -> weir::task<> {
        const weir::cancellation_token never;
        switch (kind) {
          case 0:
            co_await weir::with_timeout(1s, weir::with_timeout(2s, weir::sleep_for(0s)));
            break;
          case 1:
            co_await weir::with_cancellation(never, weir::with_timeout(2s, weir::sleep_for(1s)));
            break;
          case 2:
            co_await weir::with_timeout(1s, weir::with_cancellation(never, weir::checkpoint()));
            break;
          case 3:
            co_await weir::with_timeout(1s, weir::with_timeout(1s, weir::with_timeout(1s, test::nap(0s))));
            break;
          case 4:
            co_await weir::with_timeout(0s, weir::with_timeout(0s, weir::yield()));
            break;
          default:
            co_await weir::with_timeout(1s, weir::with_timeout(1s, weir::when_all(test::nap(1s), test::nap(1s))));
            break;
        }
        seen.push_back("went on");
      };
      const auto r = co_await weir::as_result(weir::with_cancellation(source.token(), work()));
      CHECK(r.is_cancelled());
      const auto direct = co_await weir::as_result(
          weir::with_cancellation(source.token(), weir::with_timeout(1s, weir::with_timeout(2s, weir::sleep_for(1s)))));
      CHECK(direct.is_cancelled());
    });
    CHECK(seen.empty());
  }
}

TEST_CASE("shielded runs to its end inside a scope that begins under a stop") {
  simulate([]() -> weir::task<> {
    const weir::time_point start = weir::now();
    co_await weir::with_timeout(0s, weir::shielded(test::nap(5ms)));
    CHECK(weir::now() == start + 5ms);
    co_await weir::with_timeout(0s, weir::with_timeout(0s, weir::shielded(weir::sleep_for(5ms))));
    CHECK(weir::now() == start + 10ms);
  });
}

TEST_CASE("a value that comes late all the same is delivered") {
  simulate([]() -> weir::task<> {
    auto stubborn = []() -> weir::task<std::unique_ptr<int>> {
      co_await weir::shielded(weir::sleep_for(10ms));
      co_return std::make_unique<int>(3);
    };
    const auto value = co_await weir::with_timeout(5ms, stubborn());
    CHECK(*value == 3);
    auto fails = []() -> weir::task<> {
      co_await weir::shielded(weir::sleep_for(10ms));
      throw std::runtime_error("late");
    };
    std::string what;
    try {
      co_await weir::with_timeout(5ms, fails());
    } catch (const std::exception& e) {
      what = e.what();
    }
    CHECK(what == "late");
  });
}

TEST_CASE("a completion beats a deadline due in the same turn") {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    simulate(
        []() -> weir::task<> {
          // The sleep is armed after the timeout: the deadline fires first. The other way round the value wins.
          const auto late = co_await weir::as_result(weir::with_timeout(1ms, weir::sleep_for(1ms)));
          CHECK(late.error() == std::errc::timed_out);
          auto body = [](weir::task_group& g) -> weir::task<bool> {
            auto h = g.spawn(test::nap(1ms));
            co_await weir::yield();
            co_await weir::yield();
            const auto r = co_await weir::as_result(weir::with_timeout(1ms, h.join()));
            co_return r.has_value();
          };
          co_await weir::with_task_group(body);
        },
        seed);
  }
}

TEST_CASE("a cancellation from outside stops the operation and goes past with_timeout") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    auto work = [&]() -> weir::task<> {
      test::mark m(seen, "work");
      try {
        co_await weir::with_timeout(1h, test::stuck(seen, "op"));
      } catch (...) {
        seen.push_back("caught");
      }
    };
    weir::cancellation_source source;
    auto cancel = [&]() -> weir::task<> {
      co_await weir::sleep_for(1ms);
      source.request_cancellation();
    };
    co_await weir::when_all(weir::as_result(weir::with_cancellation(source.token(), work())), cancel());
  });
  CHECK(seen == test::log{"op!", "work!"});
}

TEST_CASE("under as_result a timeout is a result without an exception") {
  simulate([]() -> weir::task<> {
    const auto r = co_await weir::as_result(weir::with_timeout(1ms, test::nap(1h)));
    CHECK(!r.has_value());
    CHECK(!r.is_cancelled());
    CHECK(r.error() == std::errc::timed_out);
    CHECK(r.cause() == weir::cancellation_cause::deadline);
    CHECK_THROWS_AS(r.value(), weir::timed_out);
  });
}

TEST_CASE("timeouts nested 10,000 deep: completing, running out at every level, and stopped from outside") {
  constexpr int depth = 10'000;
  simulate([]() -> weir::task<> {
    co_await nested(depth, 1h, 1ms);
    CHECK(test::counted::alive == 0);
    // The outermost runs out first and everything inside is unwound at once.
    const auto r = co_await weir::as_result(nested(depth, 1s, 10000h));
    CHECK(r.error() == std::errc::timed_out);
    CHECK(test::counted::alive == 0);
    const auto outside = co_await weir::as_result(weir::with_timeout(1ms, nested(depth, 1h, 10000h)));
    CHECK(outside.error() == std::errc::timed_out);
    CHECK(test::counted::alive == 0);
    // All have run out before they begin.
    const auto at_once = co_await weir::as_result(nested(depth, -std::chrono::hours(100), 1ms));
    CHECK(at_once.error() == std::errc::timed_out);
    CHECK(test::counted::alive == 0);
  });
}

TEST_CASE("timeouts that run out again and again leave nothing behind") {
  simulate([]() -> weir::task<> {
    const int rounds = test::scaled(20'000, 2'000);
    for (int i = 0; i < rounds; ++i) {
      const auto r = co_await weir::as_result(weir::with_timeout(1ms, nested(3, 1h, 1h)));
      if (r.has_value()) FAIL("it cannot have slept");
    }
    CHECK(test::counted::alive == 0);
    CHECK(weir::now() == weir::time_point() + rounds * 1ms);
  });
}
