#include <weir/sync/adaptive_limiter.hpp>

#include <stdexcept>

#include "support.hpp"

using test::at;
using test::simulate;

TEST_CASE(
    "adaptive_limiter: halves on overload, not below its least, and recovers by a tenth, not above its most (S100)") {
  simulate([]() -> weir::task<> {
    weir::adaptive_limiter limiter({.least = 10, .most = 100}, 10);
    CHECK(limiter.rate() == doctest::Approx(100));
    limiter.on_overload();
    CHECK(limiter.rate() == doctest::Approx(50));
    for (int i = 0; i < 10; ++i) limiter.on_overload();
    CHECK(limiter.rate() == doctest::Approx(10));
    limiter.on_success();
    CHECK(limiter.rate() == doctest::Approx(11));
    for (int i = 0; i < 100; ++i) limiter.on_success();
    CHECK(limiter.rate() == doctest::Approx(100));
    co_return;
  });
}

TEST_CASE("adaptive_limiter: recovers from very low rates as well (D08)") {
  simulate([]() -> weir::task<> {
    weir::adaptive_limiter limiter({.initial = 5, .least = 0.01, .most = 1000}, 1);
    for (int i = 0; i < 20; ++i) limiter.on_overload();
    CHECK(limiter.rate() == doctest::Approx(0.01));
    int successes = 0;
    for (; limiter.rate() < 999; ++successes) limiter.on_success();
    CHECK(successes == 121);  // 1.1 to the power of 121 is a hundred thousand
    co_return;
  });
}

TEST_CASE("adaptive_limiter: a change hands out no new tokens, and those who wait keep their places (D08)") {
  simulate([]() -> weir::task<> {
    weir::adaptive_limiter limiter({.initial = 10, .least = 1, .most = 10}, 5);
    co_await limiter.acquire(5);
    test::log seen;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto child = [&](const char* name) -> weir::task<> {
        co_await limiter.acquire();
        seen.emplace_back(name);
      };
      g.spawn(child, "a");
      co_await test::settle();
      g.spawn(child, "b");
      co_await test::settle();
      for (int i = 0; i < 5; ++i) {
        limiter.on_overload();
        limiter.on_success();
      }
      CHECK(seen.empty());
      CHECK(!limiter.try_acquire());
      for (int i = 0; i < 3; ++i) limiter.on_overload();
      CHECK(limiter.rate() == doctest::Approx(1));
      co_await g.join();
      CHECK(weir::now() > at(1990ms));
      CHECK(weir::now() < at(2001ms));
    };
    co_await weir::with_task_group(body);
    CHECK(seen == test::log{"a", "b"});
  });
}

TEST_CASE("adaptive_limiter: overloads of one cause may count once") {
  simulate([]() -> weir::task<> {
    weir::adaptive_limiter limiter({.least = 1, .most = 100, .hold_off = 100ms}, 10);
    for (int i = 0; i < 5; ++i) limiter.on_overload();
    CHECK(limiter.rate() == doctest::Approx(50));
    co_await weir::sleep_for(100ms);
    limiter.on_overload();
    CHECK(limiter.rate() == doctest::Approx(25));
  });
}

TEST_CASE("adaptive_limiter: grants at its rate, within a millionth, over the whole range") {
  for (const double rate : {0.1, 1.0, 7.3, 999.9, 12345.6, 3e6}) {
    CAPTURE(rate);
    double took = 0;
    simulate([&]() -> weir::task<> {
      weir::adaptive_limiter limiter({.initial = rate, .least = 0.01, .most = 1e7}, 100);
      co_await limiter.acquire(100);
      for (int i = 0; i < 200; ++i) co_await limiter.acquire(50);
      took = std::chrono::duration<double>(weir::now() - weir::time_point()).count();
    });
    CHECK(took == doctest::Approx(10000 / rate).epsilon(rate > 1e6 ? 1e-3 : 1e-5));
  }
}

TEST_CASE("adaptive_limiter: options that make no sense are refused") {
  CHECK_THROWS_AS(weir::adaptive_limiter({.least = 0}, 1), std::invalid_argument);
  CHECK_THROWS_AS(weir::adaptive_limiter({.least = 10, .most = 5}, 1), std::invalid_argument);
  CHECK_THROWS_AS(weir::adaptive_limiter({.initial = 5, .least = 10, .most = 50}, 1), std::invalid_argument);
  CHECK_THROWS_AS(weir::adaptive_limiter({.decrease = 1}, 1), std::invalid_argument);
  CHECK_THROWS_AS(weir::adaptive_limiter({.increase = 0}, 1), std::invalid_argument);
  CHECK_THROWS_AS(weir::adaptive_limiter({}, 0), std::invalid_argument);
}
