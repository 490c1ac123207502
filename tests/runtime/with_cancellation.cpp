#include <thread>

#include "support.hpp"

using test::simulate;

namespace {

weir::task<> cancel_after(weir::duration length, weir::cancellation_source& source) {
  co_await weir::sleep_for(length);
  source.request_cancellation();
}

}  // namespace

TEST_CASE("with_cancellation completes with the operation's value when nobody cancels") {
  simulate([]() -> weir::task<> {
    weir::cancellation_source source;
    const int value = co_await weir::with_cancellation(source.token(), test::after(1ms, 4));
    CHECK(value == 4);
    const int never = co_await weir::with_cancellation(weir::cancellation_token(), test::after(1ms, 5));
    CHECK(never == 5);
    CHECK(!source.is_cancellation_requested());
  });
}

TEST_CASE("with_cancellation stops the operation, then throws cancelled with the cause") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    weir::cancellation_source source;
    auto waits = [&]() -> weir::task<> {
      try {
        co_await weir::with_cancellation(source.token(), test::stuck(seen, "op"));
      } catch (const weir::cancelled& e) {
        CHECK(e.cause() == weir::cancellation_cause::requested);
        CHECK(e.code() == std::errc::operation_canceled);
        seen.push_back("cancelled");
      }
    };
    co_await weir::when_all(waits(), cancel_after(1ms, source));
  });
  CHECK(seen == test::log{"op!", "cancelled"});
}

TEST_CASE("a token that is cancelled already: the operation runs up to its first leaf") {
  simulate([]() -> weir::task<> {
    weir::cancellation_source source;
    source.request_cancellation();
    int steps = 0;
    auto work = [&]() -> weir::task<> {
      ++steps;
      co_await weir::checkpoint();
      ++steps;
    };
    const auto r = co_await weir::as_result(weir::with_cancellation(source.token(), work()));
    CHECK(r.is_cancelled());
    CHECK(r.cause() == weir::cancellation_cause::requested);
    CHECK(steps == 1);
    const auto leaf = co_await weir::as_result(weir::with_cancellation(source.token(), weir::sleep_for(0s)));
    CHECK(leaf.is_cancelled());
  });
}

TEST_CASE("a late value is delivered; a cancellation from outside goes past") {
  simulate([]() -> weir::task<> {
    weir::cancellation_source source;
    auto stubborn = []() -> weir::task<int> {
      co_await weir::shielded(weir::sleep_for(5ms));
      co_return 9;
    };
    const auto both =
        co_await weir::when_all(weir::with_cancellation(source.token(), stubborn()), cancel_after(1ms, source));
    CHECK(std::get<0>(both) == 9);
    weir::cancellation_source unused;
    bool caught = false;
    auto inner = [&]() -> weir::task<> {
      try {
        co_await weir::with_cancellation(unused.token(), test::nap(1h));
      } catch (...) {
        caught = true;
      }
    };
    const auto r = co_await weir::as_result(weir::with_timeout(1ms, inner()));
    CHECK(r.error() == std::errc::timed_out);
    CHECK(!caught);
  });
}

TEST_CASE("whichever comes first answers: the own token inside a timeout, the timeout around it") {
  simulate([]() -> weir::task<> {
    weir::cancellation_source source;
    auto op = [&]() -> weir::task<std::string> {
      const auto r = co_await weir::as_result(weir::with_cancellation(source.token(), test::nap(1h)));
      co_return r.is_cancelled() ? "cancelled" : "?";
    };
    const auto first =
        co_await weir::when_all(weir::as_result(weir::with_timeout(2ms, op())), cancel_after(1ms, source));
    REQUIRE(std::get<0>(first).has_value());
    CHECK(*std::get<0>(first) == "cancelled");
  });
}

TEST_CASE("one source stops many, in many tasks, and is registered with none afterwards") {
  simulate([]() -> weir::task<> {
    weir::cancellation_source source;
    int stopped = 0;
    auto one = [&](weir::duration length) -> weir::task<> {
      const auto r = co_await weir::as_result(weir::with_cancellation(source.token(), weir::sleep_for(length)));
      stopped += r.is_cancelled();
    };
    auto body = [&](weir::task_group& g) -> weir::task<> {
      for (int i = 0; i < 100; ++i) g.spawn(one, weir::duration(i * 1ms));
      co_await weir::sleep_for(49500us);
      source.request_cancellation();
      co_await g.join();
    };
    co_await weir::with_task_group(body);
    CHECK(stopped == 50);
  });
}

TEST_CASE("the token of one task's scope may stop another's operation") {
  simulate([]() -> weir::task<> {
    auto outer = [](weir::task_group& g) -> weir::task<int> {
      const weir::cancellation_token mine = weir::current_token();
      auto child = [](weir::cancellation_token token) -> weir::task<> {
        co_await weir::with_cancellation(token, test::nap(1h));
      };
      auto h = g.spawn(child, mine);
      co_await weir::sleep_for(1ms);
      g.cancel();
      co_await weir::shielded(weir::sleep_for(1ms));
      co_return h.done() ? 1 : 0;
    };
    const auto r = co_await weir::as_result(weir::with_task_group(outer));
    REQUIRE(r.has_value());
    CHECK(*r == 1);
  });
}

TEST_CASE("a source that dies cancels what is still registered") {
  simulate([]() -> weir::task<> {
    auto source = std::make_unique<weir::cancellation_source>();
    auto waits = [&]() -> weir::task<bool> {
      const auto r = co_await weir::as_result(weir::with_cancellation(source->token(), test::nap(1h)));
      co_return r.is_cancelled();
    };
    auto drop = [&]() -> weir::task<> {
      co_await weir::sleep_for(1ms);
      source.reset();
    };
    const auto both = co_await weir::when_all(waits(), drop());
    CHECK(std::get<0>(both));
  });
}
