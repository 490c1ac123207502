#include "support.hpp"

using test::simulate;

TEST_CASE("shielded completes with its operation's value or exception") {
  simulate([]() -> weir::task<> {
    const int value = co_await weir::shielded(test::after(1ms, 3));
    CHECK(value == 3);
    const auto r = co_await weir::as_result(weir::shielded(test::fail_after(1ms, "no")));
    CHECK(test::unobserved::what(r.exception()) == "no");
    co_await weir::shielded(weir::sleep_for(1ms));
    co_await weir::shielded(weir::checkpoint());
  });
}

TEST_CASE("shielded work runs to its end under a stop, which the next leaf sees") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    auto work = [&]() -> weir::task<> {
      test::mark m(seen, "work");
      co_await weir::shielded(test::nap(30ms));
      seen.push_back("flushed");
      CHECK(weir::current_token().is_cancellation_requested());
      co_await weir::checkpoint();
      seen.push_back("went on");
    };
    const auto r = co_await weir::as_result(weir::with_timeout(5ms, work()));
    CHECK(r.error() == std::errc::timed_out);
    CHECK(weir::now() == weir::time_point() + 30ms);
  });
  CHECK(seen == test::log{"flushed", "work!"});
}

TEST_CASE("inside a shield timeouts and tokens of its own work; the deadline outside is hidden") {
  simulate([]() -> weir::task<> {
    auto inner = []() -> weir::task<bool> {
      CHECK(weir::remaining() == weir::duration::max());
      const auto r = co_await weir::as_result(weir::with_timeout(5ms, test::nap(1h)));
      co_return r.error() == std::errc::timed_out;
    };
    const bool own = co_await weir::with_timeout(1ms, weir::shielded(inner()));
    CHECK(own);
    const auto direct =
        co_await weir::as_result(weir::with_timeout(1ms, weir::shielded(weir::with_timeout(5ms, weir::sleep_for(1h)))));
    CHECK(direct.error() == std::errc::timed_out);
    CHECK(weir::now() == weir::time_point() + 10ms);
  });
}

TEST_CASE("a shield inside a child protects it from its group and from its handle") {
  simulate([]() -> weir::task<> {
    int done = 0;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto child = [&]() -> weir::task<> {
        co_await weir::shielded(test::nap(5ms));
        ++done;
        co_await weir::sleep_for(1h);
        ++done;
      };
      auto h = g.spawn(child);
      g.spawn(child);
      co_await weir::sleep_for(1ms);
      h.request_cancellation();
      g.cancel();
      co_await weir::sleep_for(1h);
    };
    const auto r = co_await weir::as_result(weir::with_task_group(body));
    CHECK(r.is_cancelled());
    CHECK(done == 2);
  });
}
