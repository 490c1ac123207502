#include <weir/patterns/coalescer.hpp>
#include <weir/patterns/gather.hpp>

#include "support.hpp"

using test::simulate;
using users = weir::coalescer<std::string, int>;

namespace {

int elapsed() { return static_cast<int>(weir::now().time_since_epoch() / 1ms); }

/// A back end that counts its calls and tells how each ended.
struct backend {
  int calls = 0;
  test::log ended;
  weir::duration latency = 100ms;

  auto load() {
    return [this](const std::string& key) { return answer(key, ++calls); };
  }
  weir::task<int> answer(std::string key, int n) {
    const test::mark here(ended, key);
    co_await weir::sleep_for(latency);
    if (key == "bad") throw std::runtime_error("no such user");
    co_return n;
  }
};

}  // namespace

TEST_CASE("coalescer: one flight for equal keys, everybody gets its value, and then it is forgotten") {
  simulate([]() -> weir::task<> {
    backend back;
    users flights;
    std::vector<weir::task<int>> calls;
    for (int i = 0; i < 1000; ++i) calls.push_back(flights.get("ann", back.load()));
    for (int i = 0; i < 3; ++i) calls.push_back(flights.get("bob", back.load()));
    auto values = co_await weir::when_all(std::move(calls));
    CHECK(elapsed() == 100);
    CHECK(back.calls == 2);
    CHECK(std::count(values.begin(), values.end(), values.front()) == 1000);
    CHECK(flights.stats().flights == 2);
    CHECK(flights.stats().calls == 1003);
    CHECK(flights.stats().in_flight == 0);
    const int again = co_await flights.get("ann", back.load());  // no cache
    CHECK(again == 3);
    CHECK(elapsed() == 200);
    co_await flights.shutdown();
  });
}

TEST_CASE("coalescer: a failure is shared, and so is its exception") {
  simulate([]() -> weir::task<> {
    backend back;
    users flights;
    auto [one, two] = co_await weir::gather(flights.get("bad", back.load()), flights.get("bad", back.load()));
    CHECK(back.calls == 1);
    CHECK(test::unobserved::what(one.exception()) == "no such user");
    CHECK(one.exception() == two.exception());
    CHECK(flights.stats().failures == 1);
    auto throws = []() -> weir::task<int> { throw std::logic_error("not made"); };
    auto direct = [&](const std::string& key) -> weir::task<int> {
      if (key.empty()) throw std::logic_error("empty key");
      return throws();
    };
    auto refused = co_await weir::as_result(flights.get("", direct));
    CHECK(test::unobserved::what(refused.exception()) == "empty key");
  });
}

TEST_CASE("coalescer: who is cancelled leaves, and the flight goes on for the others") {
  simulate([]() -> weir::task<> {
    backend back;
    users flights;
    auto [first, second] = co_await weir::gather(weir::with_timeout(10ms, flights.get("ann", back.load())),
                                                 flights.get("ann", back.load()));
    CHECK(first.error() == std::errc::timed_out);  // the one that had begun it
    CHECK(*second == 1);
    CHECK(elapsed() == 100);
    CHECK(back.ended == test::log{"ann"});
  });
}

TEST_CASE("coalescer: the last one to leave stops the flight, and who comes then has one of his own") {
  simulate([]() -> weir::task<> {
    backend back;
    users flights;
    auto [one, two] = co_await weir::gather(weir::with_timeout(10ms, flights.get("ann", back.load())),
                                            weir::with_timeout(20ms, flights.get("ann", back.load())));
    CHECK(one.error() == std::errc::timed_out);
    CHECK(two.error() == std::errc::timed_out);
    const int fresh = co_await flights.get("ann", back.load());
    CHECK(fresh == 2);
    CHECK(elapsed() == 120);
    CHECK(back.ended == test::log{"ann!", "ann"});
    CHECK(flights.stats().cancelled == 1);
  });
}

TEST_CASE("coalescer: a flight has nobody's deadline") {
  simulate([]() -> weir::task<> {
    users flights;
    bool none = false;
    auto look = [&]() -> weir::task<int> {
      none = weir::remaining() == weir::duration::max();
      co_return 1;
    };
    co_await weir::with_timeout(1s, flights.get("ann", look));
    CHECK(none);
  });
}

TEST_CASE("coalescer: shutdown drains or cancels, and later calls are refused") {
  simulate([]() -> weir::task<> {
    backend back;
    users flights;
    auto later = [&](weir::shutdown_mode mode, weir::duration limit) -> weir::task<bool> {
      co_await weir::sleep_for(10ms);
      co_return co_await flights.shutdown(mode, limit);
    };
    auto [value, all] = co_await weir::gather(flights.get("ann", back.load()),
                                              later(weir::shutdown_mode::drain, weir::duration::max()));
    CHECK(*value == 1);
    CHECK(*all);
    auto refused = co_await weir::as_result(flights.get("ann", back.load()));
    CHECK(refused.error() == std::errc::operation_canceled);
    const bool again = co_await flights.shutdown(weir::shutdown_mode::cancel);
    CHECK(again);
  });
  for (const bool drain : {false, true}) {
    simulate([&]() -> weir::task<> {
      backend back;
      users flights;
      auto later = [&]() -> weir::task<bool> {
        co_await weir::sleep_for(10ms);
        const auto mode = drain ? weir::shutdown_mode::drain : weir::shutdown_mode::cancel;
        co_return co_await flights.shutdown(mode, 20ms);
      };
      auto [value, all] = co_await weir::gather(flights.get("ann", back.load()), later());
      CHECK(value.is_cancelled());
      CHECK(!*all);
      CHECK(elapsed() == (drain ? 30 : 10));
      CHECK(back.ended == test::log{"ann!"});
    });
  }
}

TEST_CASE("coalescer: destroyed while somebody waits: he is told") {
  simulate([]() -> weir::task<> {
    backend back;
    auto flights = std::make_unique<users>();
    auto drop = [&]() -> weir::task<> {
      co_await weir::sleep_for(10ms);
      flights.reset();
    };
    auto call = flights->get("ann", back.load());
    auto [value, dropped] = co_await weir::gather(std::move(call), drop());
    CHECK(value.is_cancelled());
    CHECK(elapsed() == 10);
    co_await weir::sleep_for(1ms);
    CHECK(back.ended == test::log{"ann!"});
  });
}

TEST_CASE("coalescer: no value, shared values") {
  simulate([]() -> weir::task<> {
    weir::coalescer<int, void> refreshes;
    int done = 0;
    auto refresh = [&]() -> weir::task<> {
      co_await weir::sleep_for(1ms);
      ++done;
    };
    co_await weir::when_all(refreshes.get(1, refresh), refreshes.get(1, refresh));
    CHECK(done == 1);
    weir::coalescer<int, std::shared_ptr<const std::string>> pages;
    auto load = [](int n) -> weir::task<std::shared_ptr<const std::string>> {
      co_await weir::sleep_for(1ms);
      co_return std::make_shared<const std::string>(std::to_string(n));
    };
    auto [a, b] = co_await weir::when_all(pages.get(7, load), pages.get(7, load));
    CHECK(a == b);
    CHECK(*a == "7");
  });
}

TEST_CASE("coalescer: seeds with cancellations: every caller has one answer, every flight one end") {
  for (std::uint64_t seed = 0; seed < test::scaled(1000, 50); ++seed) {
    simulate(
        [seed]() -> weir::task<> {
          test::dice dice(seed);
          weir::coalescer<int, int> flights;
          int running = 0;
          int flown = 0;
          auto load = [&](int key) -> weir::task<int> {
            ++flown;
            struct count {
              int& n;
              explicit count(int& c) : n(++c) {}
              ~count() { --n; }
            } here(running);
            co_await weir::sleep_for(dice.roll(4) * 1ms);
            if (dice.roll(4) == 0) throw std::runtime_error("x");
            co_return key;
          };
          int answers = 0;
          int stopped = 0;
          auto caller = [&](int key, weir::duration begin, weir::duration patience) -> weir::task<> {
            co_await weir::sleep_for(begin);
            auto got = co_await weir::as_result(weir::with_timeout(patience, flights.get(key, load)));
            if (got) CHECK(*got == key);
            if (got.error() == std::errc::timed_out) ++stopped;
            ++answers;
          };
          std::vector<weir::task<>> callers;
          for (int i = 0; i < 12; ++i) {
            callers.push_back(caller(static_cast<int>(dice.roll(2)), dice.roll(5) * 1ms, dice.roll(5) * 1ms));
          }
          co_await weir::when_all(std::move(callers));
          CHECK(answers == 12);
          co_await flights.shutdown();
          CHECK(running == 0);
          const auto stats = flights.stats();
          CHECK(stats.in_flight == 0);
          CHECK(static_cast<int>(stats.flights) >= flown);  // one may be given up before it has begun
          CHECK(stats.calls == 12);
        },
        seed);
  }
}

TEST_CASE("coalescer: on two workers") {
  auto main = []() -> weir::task<> {
    weir::coalescer<int, int> flights;
    std::atomic<int> flown{0};
    auto load = [&](int key) -> weir::task<int> {
      ++flown;
      co_await weir::yield();
      co_return key;
    };
    auto caller = [&](int n) -> weir::task<> {
      for (int i = 0; i < test::scaled(1000, 100); ++i) {
        const int key = (i + n) % 3;
        const int got = co_await flights.get(key, load);
        if (got != key) throw std::logic_error("another key's value");
      }
    };
    co_await weir::when_all(caller(0), caller(1), caller(2), caller(0));
    co_await flights.shutdown();
    CHECK(static_cast<int>(flights.stats().flights) == flown);
  };
  weir::run(main(), {.workers = 2});
}
