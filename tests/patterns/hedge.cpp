#include <weir/patterns/hedge.hpp>

#include "support.hpp"

using test::simulate;

namespace {

int elapsed() { return static_cast<int>(weir::now().time_since_epoch() / 1ms); }

/// A server whose n-th request takes so many milliseconds, negative for a failure after that time.
class server {
 public:
  explicit server(std::vector<int> latencies) : latencies_(std::move(latencies)) {}
  auto call() {
    return [this]() -> weir::task<int> { return answer(static_cast<int>(sent++)); };
  }
  std::size_t sent = 0;
  test::log ended;

 private:
  weir::task<int> answer(int n) {
    const test::mark here(ended, std::to_string(n));
    const int latency = latencies_.at(static_cast<std::size_t>(n));
    co_await weir::sleep_for(std::abs(latency) * 1ms);
    if (latency < 0) throw std::runtime_error("request " + std::to_string(n));
    co_return n;
  }
  std::vector<int> latencies_;
};

}  // namespace

TEST_CASE("hedge: an answer in time needs one request") {
  simulate([]() -> weir::task<> {
    server s({10});
    const int won = co_await weir::hedge({.after = 50ms}, s.call());
    CHECK(won == 0);
    CHECK(s.sent == 1);
    CHECK(elapsed() == 10);
  });
}

TEST_CASE("hedge: the second request wins, and the first is stopped and joined") {
  simulate([]() -> weir::task<> {
    server s({5000, 10});
    const int won = co_await weir::hedge({.after = 50ms}, s.call());
    CHECK(won == 1);
    CHECK(elapsed() == 60);
    CHECK(s.ended == test::log{"1", "0!"});
  });
}

TEST_CASE("hedge: the first request may still win, and no more than `most` are sent") {
  simulate([]() -> weir::task<> {
    server s({200, 5000, 5000, 5000});
    const int won = co_await weir::hedge({.after = 50ms, .most = 3}, s.call());
    CHECK(won == 0);
    CHECK(s.sent == 3);
    CHECK(elapsed() == 200);
    server one({200});
    const int alone = co_await weir::hedge({.after = 50ms, .most = 1}, one.call());
    CHECK(alone == 0);
    CHECK(one.sent == 1);
  });
}

TEST_CASE("hedge: a failure does not win while another request runs") {
  test::unobserved seen;
  test::simulate_reporting([]() -> weir::task<> {
    server s({-60, 100});
    const int won = co_await weir::hedge({.after = 50ms}, s.call());
    CHECK(won == 1);
    CHECK(elapsed() == 150);
  });
  CHECK(test::unobserved::take() == test::log{"request 0"});  // no error is swallowed
}

TEST_CASE("hedge: when the last one that runs has failed, the first failure is thrown") {
  test::unobserved seen;
  test::simulate_reporting([]() -> weir::task<> {
    server quick({-10, 10});
    auto at_once = co_await weir::as_result(weir::hedge({.after = 50ms}, quick.call()));
    CHECK(test::unobserved::what(at_once.exception()) == "request 0");
    CHECK(quick.sent == 1);
    CHECK(elapsed() == 10);
    server both({-100, -20});
    auto later = co_await weir::as_result(weir::hedge({.after = 50ms, .most = 3}, both.call()));
    CHECK(test::unobserved::what(later.exception()) == "request 1");  // it came first
    CHECK(both.sent == 3 - 1);
  });
  CHECK(test::unobserved::take() == test::log{"request 0"});
}

TEST_CASE("hedge: a function that throws before there is a task") {
  simulate([]() -> weir::task<> {
    auto refuse = []() -> weir::task<int> { throw std::runtime_error("no"); };
    auto not_made = [&](bool) { return refuse(); };
    auto fn = [&]() -> weir::task<int> {
      if (elapsed() == 0) throw std::logic_error("not even begun");
      return not_made(true);
    };
    auto ended = co_await weir::as_result(weir::hedge({.after = 1s}, fn));
    CHECK(test::unobserved::what(ended.exception()) == "not even begun");
  });
}

TEST_CASE("hedge: values of every kind, and a cancellation from outside") {
  simulate([]() -> weir::task<> {
    auto nothing = []() -> weir::task<> { co_await weir::sleep_for(1ms); };
    co_await weir::hedge({.after = 1s}, nothing);
    int number = 1;
    auto reference = [&]() -> weir::task<int&> { co_return number; };
    int& same = co_await weir::hedge({.after = 1s}, reference);
    CHECK(&same == &number);
    auto owned = []() -> weir::task<std::unique_ptr<int>> { co_return std::make_unique<int>(1); };
    auto moved = co_await weir::hedge({.after = 1s}, owned);
    CHECK(*moved == 1);
    server s({5000, 5000});
    auto ended = co_await weir::as_result(weir::with_timeout(80ms, weir::hedge({.after = 50ms}, s.call())));
    CHECK(ended.error() == std::errc::timed_out);
    CHECK(s.ended.size() == 2);
  });
}

TEST_CASE("hedge: what makes no sense is refused") {
  auto nothing = []() -> weir::task<> { co_return; };
  CHECK_THROWS_AS(static_cast<void>(weir::hedge({.most = 0}, nothing)), std::invalid_argument);
  CHECK_THROWS_AS(static_cast<void>(weir::hedge({.after = -1ms}, nothing)), std::invalid_argument);
  CHECK_THROWS_AS(weir::hedge_history({.percentile = 1.0}), std::invalid_argument);
  CHECK_THROWS_AS(weir::hedge_history({.extra = -0.1}), std::invalid_argument);
}

TEST_CASE("hedge: the delay is the percentile of what was measured") {
  weir::hedge_history history({.percentile = 0.9, .fewest = 10});
  CHECK(history.delay(7ms) == 7ms);
  for (int i = 1; i <= 9; ++i) history.note_latency(i * 1ms);
  CHECK(history.delay(7ms) == 7ms);
  history.note_latency(10ms);
  CHECK(history.delay(7ms) == 9ms + 1ns);
  for (int i = 0; i < 2000; ++i) history.note_latency((1 + i % 100) * 1ms);  // older ones are forgotten
  CHECK(history.delay(7ms) >= 88ms);
  CHECK(history.delay(7ms) <= 92ms);
}

TEST_CASE("hedge: one slow answer in fifty costs a percentile, not its own time, and the load grows by no more") {
  simulate([]() -> weir::task<> {
    weir::hedge_history history({.percentile = 0.95, .extra = 0.1});
    int requests = 0;
    auto fetch = [&]() -> weir::task<int> {
      const int n = ++requests;
      const auto latency = n % 50 == 0 ? 1000ms : (10 + n % 7) * 1ms;
      co_await weir::sleep_for(latency);
      co_return n;
    };
    weir::duration worst{};
    for (int i = 0; i < 1000; ++i) {
      const auto begun = weir::now();
      const int n = co_await weir::hedge({.after = 100ms, .history = &history}, fetch);
      CHECK(n % 50 != 0);
      worst = std::max(worst, weir::now() - begun);
    }
    CHECK(worst <= 120ms);
    const weir::hedge_stats stats = history.stats();
    CHECK(stats.calls == 1000);
    CHECK(stats.extra == static_cast<std::uint64_t>(requests - 1000));
    CHECK(stats.extra <= 110);
    CHECK(stats.won >= 18);
  });
}

TEST_CASE("hedge: when all is slow the budget keeps the load down") {
  simulate([]() -> weir::task<> {
    weir::hedge_history history({.extra = 0.1, .burst = 5, .fewest = 512});  // it would find out that this is normal
    int requests = 0;
    auto slow = [&]() -> weir::task<> {
      ++requests;
      co_await weir::sleep_for(1s);
    };
    for (int i = 0; i < 100; ++i) co_await weir::hedge({.after = 1ms, .most = 3, .history = &history}, slow);
    CHECK(requests <= 100 + 5 + 10);
    CHECK(requests >= 110);
    CHECK(history.stats().refused > 0);
  });
}

TEST_CASE("hedge: seeds and two workers: one value, everything joined") {
  test::unobserved seen;
  for (std::uint64_t seed = 0; seed < test::scaled(500, 50); ++seed) {
    test::simulate_reporting(
        [seed]() -> weir::task<> {
          test::dice dice(seed);
          int running = 0;
          bool success = false;
          auto request = [&]() -> weir::task<test::counted> {
            ++running;
            const bool fails = dice.roll(2) == 0;
            co_await weir::sleep_for(dice.roll(4) * 1ms);
            --running;
            if (fails) throw std::runtime_error("x");
            success = true;
            co_return test::counted();
          };
          auto got =
              co_await weir::as_result(weir::hedge({.after = dice.roll(3) * 1ms, .most = 1 + dice.roll(3)}, request));
          CHECK(got.has_value() == success);
        },
        seed);
    CHECK(test::counted::alive == 0);
  }
  auto main = []() -> weir::task<> {
    weir::hedge_history history({.extra = 1, .burst = 1000});
    for (int round = 0; round < test::scaled(500, 50); ++round) {
      std::atomic<int> sent{0};
      auto request = [&]() -> weir::task<int> {
        const int n = ++sent;
        for (int i = 0; i < n; ++i) co_await weir::yield();
        co_return n;
      };
      const int n = co_await weir::hedge({.after = 0ms, .most = 3, .history = &history}, request);
      CHECK(n <= sent);
    }
  };
  weir::run(main(), {.workers = 2});
}
