#include <weir/sync/limiter_hierarchy.hpp>

#include <memory>
#include <vector>

#include <weir/sync/rate_limiter.hpp>
#include <weir/sync/window_limiters.hpp>

#include "support.hpp"

using test::at;
using test::settle;
using test::simulate;

TEST_CASE("limiter_hierarchy: takes from all levels, or from none") {
  simulate([]() -> weir::task<> {
    weir::rate_limiter everybody(1, 1s, 10);
    weir::fixed_window_limiter tenant(5, 1s);
    weir::sliding_window_limiter user(2, 1s);
    const weir::limiter_hierarchy levels(everybody, tenant, user);
    co_await levels.acquire(2);
    CHECK(everybody.available() == 8);
    CHECK(tenant.available() == 3);
    CHECK(user.available() == 0);
    CHECK(!levels.try_acquire());
    CHECK(everybody.available() == 8);
    CHECK(tenant.available() == 3);
    co_await weir::sleep_for(1s);
    CHECK(tenant.try_acquire(5));
    CHECK(!levels.try_acquire());
    CHECK(user.available() == 2);
    CHECK(everybody.available() == 9);
    co_await levels.acquire();
    CHECK(weir::now() == at(2s));
    CHECK(user.available() == 2);  // the one that it took a second ago has left its window
    CHECK(everybody.available() == 9);
  });
}

TEST_CASE("limiter_hierarchy: when the wait is cancelled or a level fails, what was taken goes back at once") {
  simulate([]() -> weir::task<> {
    weir::rate_limiter everybody(1, 1s, 3, 0);
    weir::rate_limiter tenant(1, 1s, 5);
    weir::rate_limiter user(1, 1h, 5);
    auto wait = [&]() -> weir::task<> {
      const weir::limiter_hierarchy levels(everybody, tenant, user);
      co_await levels.acquire(3);
    };
    weir::cancellation_source source;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto child = [&]() -> weir::task<> {
        const auto r = co_await weir::as_result(weir::with_cancellation(source.token(), wait()));
        CHECK(r.is_cancelled());
      };
      g.spawn(child);
      co_await weir::sleep_for(1ms);
      CHECK(user.available() == 2);
      CHECK(tenant.available() == 2);
      source.request_cancellation();
    };
    co_await weir::with_task_group(body);
    CHECK(user.available() == 5);
    CHECK(tenant.available() == 5);
    // A level that never has so many.
    const weir::limiter_hierarchy levels(everybody, tenant, user);
    const auto r = co_await weir::as_result(levels.acquire(4));
    CHECK(r.error() == std::errc::invalid_argument);
    CHECK(user.available() == 5);
    CHECK(tenant.available() == 5);
    // And a deadline that cannot be met.
    const auto late = co_await weir::as_result(weir::with_timeout(2s, levels.acquire(3)));
    CHECK(late.error() == std::errc::timed_out);
    CHECK(user.available() == 5);
  });
}

TEST_CASE("limiter_hierarchy: who waits for his own tokens holds none of everybody's") {
  simulate([]() -> weir::task<> {
    weir::rate_limiter everybody(1, 1h, 1);
    weir::rate_limiter slow(1, 1s, 1, 0);
    weir::rate_limiter fast(1, 1s, 1);
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto child = [&]() -> weir::task<> {
        const weir::limiter_hierarchy levels(everybody, slow);
        const auto r = co_await weir::as_result(weir::with_timeout(10s, levels.acquire()));
        CHECK(r.error() == std::errc::timed_out);
      };
      g.spawn(child);
      co_await settle();
      CHECK(weir::limiter_hierarchy(everybody, fast).try_acquire());
    };
    co_await weir::with_task_group(body);
  });
}

TEST_CASE("limiter_hierarchy: those behind a wait that was given up go on") {
  simulate([]() -> weir::task<> {
    weir::rate_limiter wide(1, 1h, 2);
    weir::rate_limiter narrow(1, 1h, 1);
    CHECK(narrow.try_acquire());
    CHECK(weir::limiter_hierarchy(narrow, wide).try_acquire() == false);
    CHECK(wide.available() == 2);
    bool through = false;
    weir::cancellation_source source;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto both = [&]() -> weir::task<> {
        const weir::limiter_hierarchy levels(narrow, wide);
        const auto r = co_await weir::as_result(weir::with_cancellation(source.token(), levels.acquire()));
        CHECK(r.is_cancelled());
      };
      auto one = [&]() -> weir::task<> {
        co_await wide.acquire(2);
        through = true;
      };
      g.spawn(both);
      co_await settle();
      g.spawn(one);
      co_await settle();
      CHECK(!through);
      source.request_cancellation();
      co_await settle();
      CHECK(through);
    };
    co_await weir::with_task_group(body);
  });
}
