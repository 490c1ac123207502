#include <weir/sync/rate_limiter.hpp>

#include <chrono>
#include <stdexcept>

#include "support.hpp"

using test::at;
using test::simulate;

TEST_CASE("rate_limiter: starts full, and then grants one per period") {
  simulate([]() -> weir::task<> {
    weir::rate_limiter limiter(100, 1s, 10);
    for (int i = 0; i < 1000; ++i) co_await limiter.acquire();
    CHECK(weir::now() == at(9900ms));
  });
}

TEST_CASE("rate_limiter: starts with as many tokens as it is told (S94, D06)") {
  simulate([]() -> weir::task<> {
    weir::rate_limiter limiter(10, 1s, 10, 0);
    CHECK(!limiter.try_acquire());
    co_await weir::sleep_for(1s);
    for (int i = 0; i < 10; ++i) CHECK(limiter.try_acquire());
    for (int i = 1; i <= 5; ++i) {
      co_await limiter.acquire();
      CHECK(weir::now() == at(1s + i * 100ms));
    }
    const weir::rate_limiter never_more(10, 1s, 10, 100);
    weir::rate_limiter full(10, 1s, 10, 100);
    CHECK(full.available() == 10);
  });
}

TEST_CASE("rate_limiter: exact from one in an hour to a million in a second, and at rates that divide nothing") {
  struct rate {
    std::uint64_t tokens;
    weir::duration period;
    std::uint64_t burst;
    int count;
  };
  const rate rates[] = {
      {1, 1h, 1, 100},           {1000, 1h, 1, 5000},
      {1, 1s, 3, 1000},          {3, 1s, 2, 3000},
      {7, 11ms, 2, 7000},        {999'983, 1h, 5, 20000},
      {1'000'000, 1s, 1, 50000}, {1'000'000, 1s, 1000, 50000},
      {333'333, 1s, 10, 50000},  {5'000'000'000, 1s, 10000, 50000},
  };
  for (const rate& r : rates) {
    CAPTURE(r.tokens);
    CAPTURE(r.period.count());
    bool wrong = false;
    simulate([&]() -> weir::task<> {
      weir::rate_limiter limiter(r.tokens, r.period, r.burst);
      for (int i = 1; i <= r.count; ++i) {
        co_await limiter.acquire();
        // The i-th is due when the rate has given i - burst, and comes in the microsecond after that.
        const auto behind = static_cast<std::int64_t>(i) - static_cast<std::int64_t>(r.burst);
        const long double due = behind <= 0
                                    ? 0.0L
                                    : static_cast<long double>(behind) * static_cast<long double>(r.period.count()) /
                                          static_cast<long double>(r.tokens);
        const auto now = static_cast<long double>((weir::now() - weir::time_point()).count());
        if (now < due - 0.5L || now >= due + 1000.5L) wrong = true;
      }
    });
    CHECK(!wrong);
  }
}

TEST_CASE("rate_limiter: idle time is worth no more than the burst") {
  simulate([]() -> weir::task<> {
    weir::rate_limiter limiter(100, 1s, 10);
    co_await weir::sleep_for(24h * 365);
    CHECK(limiter.available() == 10);
    co_await limiter.acquire(10);
    CHECK(!limiter.try_acquire());
  });
}

TEST_CASE("rate_limiter: a new rate keeps the tokens and the waiters, and hands out no full bucket (D08)") {
  simulate([]() -> weir::task<> {
    weir::rate_limiter limiter(10, 1s, 10);
    co_await limiter.acquire(7);
    CHECK(limiter.available() == 3);
    limiter.set_rate(1, 1s);
    CHECK(limiter.available() == 3);
    limiter.set_rate(999'983, 1h);
    CHECK(limiter.available() == 3);
    limiter.set_rate(10, 1s);
    co_await limiter.acquire(3);
    std::vector<weir::duration> times;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto child = [&]() -> weir::task<> {
        co_await limiter.acquire();
        times.push_back(weir::now() - weir::time_point());
      };
      for (int i = 0; i < 4; ++i) {
        g.spawn(child);
        co_await weir::yield();
      }
      co_await weir::sleep_for(150ms);
      limiter.set_rate(1, 1s);  // half a token is there
      co_await weir::sleep_for(600ms);
      limiter.set_rate(100, 1s);
    };
    co_await weir::with_task_group(body);
    CHECK(times == std::vector<weir::duration>{100ms, 650ms, 759ms, 769ms});
  });
}

TEST_CASE("rate_limiter: numbers that make no sense are refused (D07, D32)") {
  CHECK_THROWS_AS(weir::rate_limiter(0, 1s, 1), std::invalid_argument);
  CHECK_THROWS_AS(weir::rate_limiter(1, 0s, 1), std::invalid_argument);
  CHECK_THROWS_AS(weir::rate_limiter(1, -1s, 1), std::invalid_argument);
  CHECK_THROWS_AS(weir::rate_limiter(1, 1s, 0), std::invalid_argument);
  CHECK_THROWS_AS(weir::rate_limiter(1, 1h, 1'000'000'000'000), std::invalid_argument);
  weir::rate_limiter limiter(1, 1s, 5);
  CHECK_THROWS_AS(limiter.set_rate(0, 1s), std::invalid_argument);
  CHECK(limiter.available() == 5);
}

TEST_CASE("rate_limiter: in real time it is never ahead of its rate") {  // nor behind it: programs/limiter_drift.cpp
  auto main = []() -> weir::task<> {
    weir::rate_limiter limiter(20, 1ms, 10);
    const auto start = weir::now();
    for (int i = 1; i <= 2000; ++i) {
      co_await limiter.acquire();
      if (weir::now() - start < (i - 10) * 50us) FAIL("the token came too soon");
    }
  };
  weir::run(main(), {.workers = 1});
}
