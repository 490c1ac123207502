#include <weir/sync/latch.hpp>

#include <stdexcept>
#include <thread>
#include <type_traits>
#include <vector>

#include <weir/sync/select.hpp>

#include "support.hpp"

using test::settle;
using test::simulate;

static_assert(!std::is_copy_constructible_v<weir::latch> && !std::is_move_constructible_v<weir::latch>);

TEST_CASE("latch: opens with the last count, for those who wait and those who come") {
  simulate([]() -> weir::task<> {
    weir::latch l(3);
    int through = 0;
    auto waits = [&]() -> weir::task<> {
      co_await l.wait();
      ++through;
    };
    auto body = [&](weir::task_group& g) -> weir::task<> {
      g.spawn(waits);
      g.spawn(waits);
      l.count_down();
      co_await settle();
      CHECK(through == 0);
      CHECK(!l.try_wait());
      l.count_down(2);
      co_await settle();
      CHECK(through == 2);
      CHECK(l.try_wait());
      co_await waits();
      co_await g.join();
    };
    co_await weir::with_task_group(body);
    CHECK(through == 3);
  });
}

TEST_CASE("latch: of zero is open") {
  simulate([]() -> weir::task<> {
    weir::latch l(0);
    co_await l.wait();
    l.wait_blocking();
  });
}

TEST_CASE("latch: who arrives and waits counts; one who is stopped takes that back") {
  simulate([]() -> weir::task<> {
    weir::latch l(2);
    const auto r = co_await weir::as_result(weir::with_timeout(1ms, l.arrive_and_wait()));
    CHECK(r.error() == std::errc::timed_out);
    l.count_down();
    CHECK(!l.try_wait());
    weir::cancellation_source source;
    source.request_cancellation();
    const auto none = co_await weir::as_result(weir::with_cancellation(source.token(), l.arrive_and_wait()));
    CHECK(none.is_cancelled());
    CHECK(!l.try_wait());
    co_await l.arrive_and_wait();
    CHECK(l.try_wait());
  });
}

TEST_CASE("latch: two who arrive let one another through") {
  simulate([]() -> weir::task<> {
    weir::latch l(2);
    auto arrives = [&]() -> weir::task<> { co_await l.arrive_and_wait(); };
    co_await weir::when_all(arrives(), arrives());
    CHECK(l.try_wait());
  });
}

TEST_CASE("latch: wait is a case of a select") {
  simulate([]() -> weir::task<> {
    weir::latch l(1);
    auto late = co_await weir::select(l.wait(), weir::sleep_for(1ms));
    CHECK(late.index() == 1);
    l.count_down();
    auto open = co_await weir::select_ordered(l.wait(), weir::sleep_for(1ms));
    CHECK(open.index() == 0);
  });
}

TEST_CASE("latch: waiting for the last one, who may be anywhere, on threads; it may be destroyed at once") {
  for (int round = 0; round < test::scaled(2000, 200); ++round) {
    auto main = []() -> weir::task<> {
      auto l = std::make_unique<weir::latch>(2);
      auto part = [&l]() -> weir::task<> {
        l->count_down();
        co_return;
      };
      auto one = weir::spawn(part);
      auto two = weir::spawn(part);
      co_await l->wait();
      l.reset();
      co_await one.join();
      co_await two.join();
    };
    weir::run(main(), {.workers = 2});
  }
}

TEST_CASE("latch: a plain thread waits, a worker may not") {
  weir::latch l(1);
  std::thread other([&] { l.count_down(); });
  l.wait_blocking();
  other.join();
  simulate([]() -> weir::task<> {
    weir::latch closed(1);
    CHECK_THROWS_AS(closed.wait_blocking(), std::logic_error);
    co_return;
  });
}
