#include "support.hpp"

using test::simulate;
using test::simulate_reporting;

namespace {

std::string describe(const weir::cleanup_outcome& outcome) {
  if (outcome.has_value()) return "value";
  if (outcome.is_stopped()) return outcome.exception() ? "?" : "stopped";
  return test::unobserved::what(outcome.exception());
}

/// A cleanup that takes a millisecond and writes down what it saw.
auto slow_cleanup(test::log& seen) {
  return [&seen](const weir::cleanup_outcome& outcome) -> weir::task<> {
    test::mark m(seen, "cleaned");
    seen.push_back(describe(outcome));
    CHECK(!weir::current_token().is_cancellation_requested());
    co_await weir::sleep_for(1ms);
  };
}

}  // namespace

TEST_CASE("the cleanup runs after a value, which then goes on") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    auto cleanup = slow_cleanup(seen);
    auto value = co_await weir::with_cleanup(test::after(1ms, std::make_unique<int>(3)), cleanup, 1s);
    CHECK(*value == 3);
    CHECK(weir::now() == weir::time_point() + 2ms);
    co_await weir::with_cleanup(weir::sleep_for(1ms), cleanup, 1s);
    int x = 0;
    auto reference = [&]() -> weir::task<int&> { co_return x; };
    int& same = co_await weir::with_cleanup(reference(), cleanup, 1s);
    CHECK(&same == &x);
  });
  CHECK(seen == test::log{"value", "cleaned", "value", "cleaned", "value", "cleaned"});
}

TEST_CASE("the cleanup runs after an exception, which then goes on") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    auto cleanup = slow_cleanup(seen);
    try {
      co_await weir::with_cleanup(test::fail_after(1ms, "failed"), cleanup, 1s);
    } catch (const std::runtime_error& e) {
      seen.push_back(std::string("caught ") + e.what());
    }
  });
  CHECK(seen == test::log{"failed", "cleaned", "caught failed"});
}

TEST_CASE("the cleanup runs after a stop, shielded, when the operation's locals are gone; then the stop goes on") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    auto cleanup = slow_cleanup(seen);
    auto work = [&]() -> weir::task<> {
      test::mark around(seen, "around");
      co_await weir::with_cleanup(test::stuck(seen, "operation"), cleanup, 1s);
      seen.push_back("went on");
    };
    const auto r = co_await weir::as_result(weir::with_timeout(1ms, work()));
    CHECK(r.error() == std::errc::timed_out);
    CHECK(weir::now() == weir::time_point() + 2ms);
  });
  CHECK(seen == test::log{"operation!", "stopped", "cleaned", "around!"});
}

TEST_CASE("a stop that comes while the cleanup runs waits for it; the outcome is the operation's") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    auto cleanup = slow_cleanup(seen);
    auto work = [&]() -> weir::task<int> {
      const int value = co_await weir::with_cleanup(test::after(1ms, 5), cleanup, 1s);
      seen.push_back("value " + std::to_string(value));
      co_await weir::checkpoint();
      seen.push_back("went on");
      co_return value;
    };
    const auto r = co_await weir::as_result(weir::with_timeout(1500us, work()));
    CHECK(r.error() == std::errc::timed_out);
  });
  CHECK(seen == test::log{"value", "cleaned", "value 5"});
}

TEST_CASE("a cleanup that takes longer than its limit is stopped itself") {
  test::unobserved errors;
  test::log seen;
  simulate_reporting([&]() -> weir::task<> {
    auto endless = [&](const weir::cleanup_outcome&) -> weir::task<> {
      test::mark m(seen, "cleanup");
      co_await weir::sleep_for(1h);
    };
    // Its failure replaces a value,
    const auto value = co_await weir::as_result(weir::with_cleanup(test::after(1ms, 1), endless, 5ms));
    CHECK(value.error() == std::errc::timed_out);
    CHECK(weir::now() == weir::time_point() + 6ms);
    // beside an exception it is reported,
    const auto failed = co_await weir::as_result(weir::with_cleanup(test::fail_after(1ms, "failed"), endless, 5ms));
    CHECK(test::unobserved::what(failed.exception()) == "failed");
    // and beside a stop.
    auto work = [&]() -> weir::task<> { co_await weir::with_cleanup(test::nap(1h), endless, 5ms); };
    const auto stopped = co_await weir::as_result(weir::with_timeout(1ms, work()));
    CHECK(stopped.error() == std::errc::timed_out);
  });
  CHECK(seen == test::log{"cleanup!", "cleanup!", "cleanup!"});
  CHECK(errors.take().size() == 2);
}

TEST_CASE("a cleanup that throws, as a task and before it is one") {
  for (const bool as_task : {true, false}) {
    CAPTURE(as_task);
    test::unobserved errors;
    simulate_reporting([&]() -> weir::task<> {
      auto throws_late = [](const weir::cleanup_outcome&) -> weir::task<> {
        co_await weir::sleep_for(1us);
        throw std::runtime_error("cleanup");
      };
      auto throws = [&](const weir::cleanup_outcome& outcome) -> weir::task<> {
        if (!as_task) throw std::runtime_error("cleanup");
        return throws_late(outcome);
      };
      const auto value = co_await weir::as_result(weir::with_cleanup(test::after(1ms, 1), throws, 1s));
      CHECK(test::unobserved::what(value.exception()) == "cleanup");
      CHECK(errors.take().empty());
      const auto failed = co_await weir::as_result(weir::with_cleanup(test::fail_after(1ms, "failed"), throws, 1s));
      CHECK(test::unobserved::what(failed.exception()) == "failed");
      CHECK(errors.take() == test::log{"cleanup"});
      auto work = [&]() -> weir::task<> { co_await weir::with_cleanup(test::nap(1h), throws, 1s); };
      const auto stopped = co_await weir::as_result(weir::with_timeout(1ms, work()));
      CHECK(stopped.error() == std::errc::timed_out);
      CHECK(errors.take() == test::log{"cleanup"});
    });
  }
}

TEST_CASE("cleanups nest: the inner one first, each under its own limit") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    auto named = [&](const char* name) {
      return [&seen, name](const weir::cleanup_outcome&) -> weir::task<> {
        co_await weir::sleep_for(1ms);
        seen.push_back(name);
      };
    };
    auto inner = named("inner");
    auto outer = named("outer");
    auto work = [&]() -> weir::task<> {
      co_await weir::with_cleanup(weir::with_cleanup(weir::sleep_for(1h), inner, 1s), outer, 1s);
    };
    const auto r = co_await weir::as_result(weir::with_timeout(1ms, work()));
    CHECK(r.error() == std::errc::timed_out);
    CHECK(weir::now() == weir::time_point() + 3ms);
  });
  CHECK(seen == test::log{"inner", "outer"});
}

TEST_CASE("a cleanup may use everything: groups, timeouts, other cleanups") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    auto rich = [&](const weir::cleanup_outcome&) -> weir::task<> {
      auto body = [&](weir::task_group& g) -> weir::task<> {
        g.spawn(test::nap(1ms));
        g.spawn(test::stuck(seen, "stuck"));
        const auto r = co_await weir::as_result(weir::with_timeout(2ms, g.join()));
        CHECK(!r.has_value());
        g.cancel();
      };
      co_await weir::with_task_group(body);
      auto inner = [&](const weir::cleanup_outcome& outcome) -> weir::task<> {
        seen.push_back(describe(outcome));
        co_return;
      };
      const auto r = co_await weir::as_result(weir::with_timeout(1ms, weir::with_cleanup(test::nap(1h), inner, 1s)));
      CHECK(r.error() == std::errc::timed_out);
    };
    auto work = [&]() -> weir::task<> { co_await weir::with_cleanup(test::stuck(seen, "operation"), rich, 1h); };
    const auto r = co_await weir::as_result(weir::with_timeout(1ms, work()));
    CHECK(r.error() == std::errc::timed_out);
  });
  CHECK(seen == test::log{"operation!", "stuck!", "stopped"});
}

TEST_CASE("the callable of a cleanup lives until it has run; what it captured may be move-only") {
  int got = 0;
  simulate([&]() -> weir::task<> {
    auto owned = std::make_unique<int>(7);
    auto cleanup = [held = std::move(owned), &got](const weir::cleanup_outcome&) -> weir::task<> {
      co_await weir::sleep_for(1ms);
      got = *held;
    };
    auto work = [&]() -> weir::task<> { co_await weir::with_cleanup(test::nap(1h), TEST_MOVE_CALLABLE(cleanup), 1s); };
    const auto r = co_await weir::as_result(weir::with_timeout(1ms, work()));
    CHECK(r.error() == std::errc::timed_out);
  });
  CHECK(got == 7);
}

TEST_CASE("cleanups nested 10,000 deep all run when they are stopped") {
  const int depth = test::scaled(10'000, 3'000);
  int cleaned = 0;
  simulate([&]() -> weir::task<> {
    auto nest = [&cleaned](auto self, int n) -> weir::task<> {
      const test::counted guard;
      auto cleanup = [&cleaned](const weir::cleanup_outcome&) -> weir::task<> {
        ++cleaned;
        co_return;
      };
      if (n == 0) {
        co_await weir::sleep_for(1h);
      } else {
        co_await weir::with_cleanup(self(self, n - 1), cleanup, 1s);
      }
    };
    const auto r = co_await weir::as_result(weir::with_timeout(1ms, nest(nest, depth)));
    CHECK(r.error() == std::errc::timed_out);
  });
  CHECK(cleaned == depth);
  CHECK(test::counted::alive == 0);
}
