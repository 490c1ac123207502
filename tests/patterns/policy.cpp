#include "calls.hpp"

#include <weir/patterns/bulkhead.hpp>
#include <weir/patterns/circuit_breaker.hpp>
#include <weir/patterns/fallback.hpp>
#include <weir/patterns/fault_injector.hpp>
#include <weir/patterns/load_shedder.hpp>
#include <weir/patterns/policy.hpp>
#include <weir/patterns/retry.hpp>
#include <weir/patterns/timeout.hpp>

using test::elapsed;
using test::simulate;

namespace {

/// A wrapper of a user's own.
class named {
 public:
  named(test::log& to, const char* name) : to_(&to), name_(name) {}

  template <class F>
  auto run(F function) -> decltype(function()) {
    to_->push_back(std::string(name_) + " before");
    const test::mark after(*to_, std::string(name_) + " after");
    co_return co_await function();
  }

 private:
  test::log* to_;
  const char* name_;
};

}  // namespace

TEST_CASE("policy: wrappers stand around the call in the order written, the outermost first") {
  simulate([]() -> weir::task<> {
    test::log seen;
    named a(seen, "a");
    weir::policy inner(named(seen, "c"), named(seen, "d"));
    weir::policy all(a, named(seen, "b"), inner);
    auto call = [&]() -> weir::task<int> {
      seen.push_back("call");
      co_return 5;
    };
    const int five = co_await all.run(call);
    CHECK(five == 5);
    CHECK(seen == test::log{"a before", "b before", "c before", "d before", "call", "d after", "c after", "b after",
                            "a after"});
  });
}

TEST_CASE("policy: a time-out inside the retries limits each attempt, outside of them all together") {
  simulate([]() -> weir::task<> {
    int calls = 0;
    auto hangs_twice = [&]() -> weir::task<int> {
      const weir::duration length = ++calls < 3 ? weir::duration(1h) : weir::duration(10ms);
      co_await weir::sleep_for(length);
      co_return calls;
    };
    weir::retry_policy again({.attempts = 5, .initial_delay = 100ms, .jitter = weir::retry_jitter::none});
    weir::policy each(again, weir::timeout(1s));
    const int three = co_await each.run(hangs_twice);
    CHECK(three == 3);
    CHECK(elapsed() == 1s + 100ms + 1s + 200ms + 10ms);

    calls = 0;
    weir::policy together(weir::timeout(1500ms), again, weir::timeout(1s));
    auto ended = co_await weir::as_result(together.run(hangs_twice));
    CHECK(ended.error() == std::errc::timed_out);
    CHECK(calls == 2);
    CHECK(elapsed() == 2310ms + 1500ms);
  });
}

TEST_CASE("policy: retries outside of a breaker end when it opens, and do not wait for it") {
  simulate([]() -> weir::task<> {
    weir::circuit_breaker breaker("x", {.consecutive_failures = 3});
    weir::policy calls(weir::retry_policy({.attempts = 10, .initial_delay = 10ms}), breaker);
    int made = 0;
    auto fails = [&]() -> weir::task<> {
      ++made;
      throw test::reset();
      co_return;
    };
    auto ended = co_await weir::as_result(calls.run(fails));
    CHECK(test::failed_with<weir::circuit_open>(ended));
    CHECK(made == 3);
    CHECK(elapsed() < 200ms);
  });
}

TEST_CASE("policy: values that can only be moved, references and nothing pass through all wrappers") {
  simulate([]() -> weir::task<> {
    weir::circuit_breaker breaker("x");
    weir::bulkhead places({.concurrent = 1});
    weir::load_shedder door({});
    weir::policy calls(weir::retry_policy({}), breaker, places, door, weir::timeout(1s));
    auto moves = []() -> weir::task<test::item> { co_return test::item(5); };
    const test::item five = co_await calls.run(moves);
    CHECK(five.value == 5);
    int place = 0;
    auto refers = [&]() -> weir::task<int&> { co_return place; };
    int& same = co_await calls.run(refers);
    CHECK(&same == &place);
    auto plain = [&] { place = 7; };
    co_await calls.run(plain);
    CHECK(place == 7);
    auto sleeps = [] { return weir::sleep_for(10ms); };
    co_await calls.run(sleeps);
    CHECK(elapsed() == 10ms);
    auto wraps = std::make_unique<int>(3);
    auto owns = [n = std::move(wraps)]() -> weir::task<int> { co_return *n; };
    const int three = co_await calls.run(TEST_MOVE_CALLABLE(owns));
    CHECK(three == 3);
  });
  CHECK(test::counted::alive == 0);
}

TEST_CASE("policy: a stop ends whatever is at work, and takes no fallback (P43)") {
  for (const weir::duration when : {weir::duration(50ms), weir::duration(150ms), weir::duration(1050ms)}) {
    simulate([when]() -> weir::task<> {
      weir::circuit_breaker breaker("x");
      weir::bulkhead places({.concurrent = 1, .waiting = 1});
      int instead = 0;
      weir::fallback other([&] { return ++instead; });
      weir::policy calls(other, weir::retry_policy({.initial_delay = 500ms, .jitter = weir::retry_jitter::none}),
                         breaker, places, weir::timeout(1h));
      auto fails = []() -> weir::task<int> {
        const test::counted alive;
        co_await weir::sleep_for(100ms);
        throw test::reset();
      };
      auto holds = [&]() -> weir::task<> { co_await weir::sleep_for(400ms); };
      auto body = [&](weir::task_group& group) -> weir::task<> {
        if (when > 1s) {
          group.spawn(places.run(holds));  // then it waits for a place first
          co_await weir::yield();
        }
        auto ended = co_await test::stopped_after(when, calls.run(fails));
        CHECK(ended.is_cancelled());
        CHECK(elapsed() == when);
      };
      co_await weir::with_task_group(body);
      CHECK(instead == 0);
      CHECK(test::counted::alive == 0);
      CHECK(places.stats().busy == 0);
    });
  }
}

TEST_CASE("timeout: ends as a failure, and the worker goes on (S124, P45)") {
  simulate([]() -> weir::task<> {
    weir::timeout limit(5min);
    weir::channel<int> jobs(10);
    int well = 0;
    int timed_out = 0;
    auto worker = [&]() -> weir::task<> {
      while (auto job = co_await jobs.receive()) {
        auto work = [&]() -> weir::task<> {
          if (*job % 2 == 1) co_await test::never();
          co_await weir::sleep_for(1s);
        };
        auto ended = co_await weir::as_result(limit.run(work));
        if (!ended) CHECK(ended.error() == std::errc::timed_out);
        ++(ended ? well : timed_out);
      }
    };
    auto body = [&](weir::task_group& group) -> weir::task<> {
      group.spawn(worker);
      group.spawn(worker);
      for (int i = 0; i < 8; ++i) co_await jobs.send(i);
      jobs.close();
      co_await group.join();
    };
    co_await weir::with_task_group(body);
    CHECK(well == 4);
    CHECK(timed_out == 4);
    CHECK(elapsed() < 21min);
  });
}

TEST_CASE("timeout: a caller can tell a time-out from a cancellation (P48)") {
  simulate([]() -> weir::task<> {
    weir::timeout limit(1s);
    auto late = co_await weir::as_result(limit.run([] { return test::never(); }));
    CHECK(late.error() == std::errc::timed_out);
    CHECK(late.cause() == weir::cancellation_cause::deadline);
    auto hangs = [] { return test::never(); };
    auto stopped = co_await test::stopped_after(10ms, limit.run(hangs));
    CHECK(stopped.is_cancelled());
    CHECK(stopped.cause() == weir::cancellation_cause::requested);
  });
}

TEST_CASE("fallback: a value, or a function, plain or a task, with the error or without") {
  simulate([]() -> weir::task<> {
    auto fails = []() -> weir::task<std::string> {
      throw test::reset("down");
      co_return "";
    };
    auto well = []() -> weir::task<std::string> { co_return "fresh"; };
    weir::fallback value(std::string("n/a"));
    std::string got = co_await value.run(fails);
    CHECK(got == "n/a");
    got = co_await value.run(well);
    CHECK(got == "fresh");
    got = co_await value.run(fails);
    CHECK(got == "n/a");
    CHECK(value.used() == 2);

    weir::fallback literal("short");
    got = co_await literal.run(fails);
    CHECK(got == "short");
    weir::fallback function([] { return std::string("plain"); });
    got = co_await function.run(fails);
    CHECK(got == "plain");
    weir::fallback cache([](const std::exception_ptr& e) -> weir::task<std::string> {
      const std::string why = test::unobserved::what(e);
      co_await weir::sleep_for(1ms);
      co_return "cached: " + why.substr(0, 4);
    });
    got = co_await cache.run(fails);
    CHECK(got == "cached: down");
    auto none = [] { throw test::reset(); };
    int called = 0;
    weir::fallback nothing([&] { ++called; });
    co_await nothing.run(none);
    CHECK(called == 1);
  });
}

TEST_CASE("fallback: only for the errors that it handles; what it throws itself comes out") {
  simulate([]() -> weir::task<> {
    auto fails = []() -> weir::task<int> {
      throw test::denied();
      co_return 0;
    };
    weir::fallback on_reset(7, [](std::error_code e) { return e == std::errc::connection_reset; });
    auto ended = co_await weir::as_result(on_reset.run(fails));
    CHECK(ended.error() == std::errc::permission_denied);
    weir::fallback on_system(7, [](const std::exception_ptr& e) { return test::holds<std::system_error>(e); });
    const int seven = co_await on_system.run(fails);
    CHECK(seven == 7);
    weir::fallback broken([]() -> int { throw std::runtime_error("also down"); });
    ended = co_await weir::as_result(broken.run(fails));
    CHECK(test::unobserved::what(ended.exception()) == "also down");
    auto called_off = []() -> weir::task<int> {
      throw weir::cancelled();
      co_return 0;
    };
    weir::fallback any(7);
    ended = co_await weir::as_result(any.run(called_off));
    CHECK(ended.is_cancelled());
  });
}

TEST_CASE("policy: under load there is a partial answer in a predictable time, and no crash (S125)") {
  simulate([]() -> weir::task<> {
    weir::bulkhead places({.concurrent = 10, .waiting = 20, .longest_wait = 500ms});
    weir::fallback partial(std::string("partial"));
    weir::policy calls(partial, places, weir::timeout(300ms));
    int full = 0;
    int partials = 0;
    weir::duration longest{};
    auto request = [&](int n) -> weir::task<> {
      const weir::duration came = elapsed();
      auto answer = [n]() -> weir::task<std::string> {
        const weir::duration length = n % 10 == 0 ? weir::duration(1h) : weir::duration(200ms);
        co_await weir::sleep_for(length);
        co_return "full";
      };
      const std::string got = co_await calls.run(answer);
      ++(got == "full" ? full : partials);
      longest = std::max(longest, elapsed() - came);
    };
    auto body = [&](weir::task_group& group) -> weir::task<> {
      for (int n = 0; n < 1000; ++n) {  // four times what the places can do
        group.spawn(request, n);
        co_await weir::sleep_for(5ms);
      }
      co_await group.join();
    };
    co_await weir::with_task_group(body);
    CHECK(full + partials == 1000);
    CHECK(full > 150);
    CHECK(partials == static_cast<int>(partial.used()));
    CHECK(longest <= 800ms);
  });
}

TEST_CASE("fault_injector: errors, delays and cancellations come at their rates, and the seed decides which (S126)") {
  const auto run = [](std::uint64_t seed) {
    return simulate(
        []() -> weir::task<test::log> {
          weir::fault_injector faults({.delays = 0.3,
                                       .longest_delay = 50ms,
                                       .errors = 0.2,
                                       .error = std::errc::timed_out,
                                       .cancellations = 0.1});
          test::log seen;
          int made = 0;
          auto call = [&]() -> weir::task<int> {
            ++made;
            co_await weir::sleep_for(1ms);
            co_return 1;
          };
          for (int i = 0; i < 1000; ++i) {
            const weir::duration before = elapsed();
            auto ended = co_await weir::as_result(faults.run(call));
            seen.push_back(ended                                   ? "well"
                           : ended.is_cancelled()                  ? "cancelled"
                           : ended.error() == std::errc::timed_out ? "error"
                                                                   : "?");
            CHECK(elapsed() - before <= 51ms);
          }
          const auto number = [&](const char* what) {
            return static_cast<std::uint64_t>(std::count(seen.begin(), seen.end(), what));
          };
          const weir::fault_stats s = faults.stats();
          CHECK(s.calls == 1000);
          CHECK(s.errors == number("error"));
          CHECK(s.cancellations == number("cancelled"));
          CHECK(number("?") == 0);
          CHECK(made == 1000 - static_cast<int>(s.errors));
          CHECK((s.errors > 150 && s.errors < 250));
          CHECK((s.delays > 250 && s.delays < 350));
          CHECK((s.cancellations > 50 && s.cancellations < 110));
          co_return std::move(seen);
        },
        seed);
  };
  CHECK(run(1) == run(1));
  CHECK(run(1) != run(2));
  CHECK_THROWS_AS(weir::fault_injector({.errors = 1.5}), std::invalid_argument);
}

TEST_CASE(
    "policy: everything around a service that fails, delays and hangs: each call ends once, under many seeds (S126)") {
  for (std::uint64_t seed = 0; seed < static_cast<std::uint64_t>(test::scaled(300, 60)); ++seed) {
    simulate(
        [seed]() -> weir::task<> {
          test::dice dice(seed);
          weir::retry_budget budget;
          weir::retry_policy again({.attempts = 3, .initial_delay = 5ms, .budget = &budget});
          weir::circuit_breaker breaker("x", {.failure_ratio = 0.8, .least_calls = 4, .open_for = 30ms, .trials = 2});
          weir::bulkhead places({.concurrent = 3, .waiting = 3, .longest_wait = 20ms});
          weir::fallback other(-1);
          weir::fault_injector faults({.delays = 0.3, .longest_delay = 20ms, .errors = 0.3, .cancellations = 0.05});
          weir::policy calls(other, again, breaker, places, weir::timeout(10ms), faults);
          int at_work = 0;
          int ends = 0;
          auto caller = [&]() -> weir::task<> {
            const auto length = weir::duration(dice.roll(12) * 1ms);
            auto call = [&]() -> weir::task<int> {
              const test::counted alive;
              CHECK(++at_work <= 3);
              const auto leave = std::shared_ptr<int>(&at_work, [](int* n) { --*n; });
              co_await weir::sleep_for(length);
              co_return 1;
            };
            auto ended = co_await test::stopped_after(weir::duration(dice.roll(60) * 1ms), calls.run(call));
            CHECK((ended.is_cancelled() || *ended == 1 || *ended == -1));
            ++ends;
          };
          auto body = [&](weir::task_group& group) -> weir::task<> {
            for (int i = 0; i < 20; ++i) {
              group.spawn(caller);
              co_await weir::sleep_for(dice.roll(4) * 1ms);
            }
            co_await group.join();
          };
          co_await weir::with_task_group(body);
          CHECK(ends == 20);
          CHECK(at_work == 0);
          CHECK(places.stats().busy == 0);
          CHECK(places.stats().waiting == 0);
          const weir::circuit_stats s = breaker.stats();
          const weir::bulkhead_stats b = places.stats();
          CHECK(b.admitted == faults.stats().calls);
          CHECK(s.succeeded + s.failed <= b.admitted);
          CHECK(s.succeeded + s.failed + s.ignored >= b.admitted);
          CHECK(again.stats().calls == 20);
        },
        seed);
    CHECK(test::counted::alive == 0);
  }
}
