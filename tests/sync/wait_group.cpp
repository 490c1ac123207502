#include <weir/sync/wait_group.hpp>

#include <stdexcept>
#include <thread>
#include <type_traits>
#include <vector>

#include <weir/sync/select.hpp>

#include "support.hpp"

using test::settle;
using test::simulate;

static_assert(!std::is_copy_constructible_v<weir::wait_group> && !std::is_move_constructible_v<weir::wait_group>);
static_assert(!std::is_copy_constructible_v<weir::wait_group_token>);

TEST_CASE("wait_group: waits until no token is left") {
  simulate([]() -> weir::task<> {
    weir::wait_group g;
    co_await g.wait();
    auto one = g.add();
    auto three = g.add(3);
    CHECK(g.count() == 4);
    bool through = false;
    auto body = [&](weir::task_group& tasks) -> weir::task<> {
      auto waits = [&]() -> weir::task<> {
        co_await g.wait();
        through = true;
      };
      tasks.spawn(waits);
      co_await settle();
      {
        const auto part = three.split();
        CHECK(three.count() == 2);
        CHECK(g.count() == 4);
      }
      CHECK(g.count() == 3);
      one = weir::wait_group_token();
      three.done();
      three.done();
      CHECK(g.count() == 0);
      co_await tasks.join();
    };
    co_await weir::with_task_group(body);
    CHECK(through);
  });
}

TEST_CASE("wait_group: may be used again; a wait that is through is not held up by what comes then") {
  simulate([]() -> weir::task<> {
    weir::wait_group g;
    int rounds = 0;
    auto body = [&](weir::task_group& tasks) -> weir::task<> {
      auto token = g.add();
      auto waits = [&]() -> weir::task<> {
        co_await g.wait();
        ++rounds;
      };
      tasks.spawn(waits);
      co_await settle();
      token.done();
      token = g.add();
      co_await settle();
      CHECK(rounds == 1);
      tasks.spawn(waits);
      co_await settle();
      CHECK(rounds == 1);
      token.done();
      co_await tasks.join();
    };
    co_await weir::with_task_group(body);
    CHECK(rounds == 2);
  });
}

TEST_CASE("wait_group: a token ends with the task that holds it, however that ends") {
  simulate([]() -> weir::task<> {
    weir::wait_group g;
    weir::cancellation_source source;
    auto body = [&](weir::task_group& tasks) -> weir::task<> {
      auto returns = [](weir::wait_group_token) -> weir::task<> { co_return; };
      auto throws = [](weir::wait_group_token) -> weir::task<> {
        co_await weir::yield();
        throw std::runtime_error("x");
      };
      auto sleeps = [](weir::wait_group_token) -> weir::task<> { co_await weir::sleep_for(1h); };
      auto first = g.add();
      auto second = g.add();
      auto third = g.add();
      tasks.spawn(returns, std::move(first));
      auto failed = tasks.spawn(throws, std::move(second));
      auto stopped = tasks.spawn(sleeps, std::move(third));
      co_await weir::sleep_for(1ms);
      CHECK(g.count() == 1);
      stopped.request_cancellation();
      co_await g.wait();
      const auto r = co_await weir::as_result(failed.join());
      CHECK(!r.has_value());
    };
    co_await weir::with_supervisor(body);
  });
}

TEST_CASE("wait_group: a wait with a limit leaves nothing behind") {
  simulate([]() -> weir::task<> {
    weir::wait_group g;
    auto token = g.add();
    const auto r = co_await weir::as_result(weir::with_timeout(2s, g.wait()));
    CHECK(r.error() == std::errc::timed_out);
    auto chosen = co_await weir::select(g.wait(), weir::sleep_for(1ms));
    CHECK(chosen.index() == 1);
    token.done();
    co_await g.wait();
  });
}

TEST_CASE("wait_group: tokens that end on many threads, again and again") {
  for (int round = 0; round < test::scaled(300, 40); ++round) {
    weir::wait_group g;
    std::atomic<int> done{0};
    auto main = [&]() -> weir::task<> {
      auto part = [&](weir::wait_group_token) -> weir::task<> {
        ++done;
        co_return;
      };
      auto tokens = g.add(100);
      std::vector<weir::join_handle<void>> parts;
      parts.reserve(100);
      for (int i = 0; i < 100; ++i) parts.push_back(weir::spawn(part, tokens.split()));
      co_await g.wait();
      CHECK(done == 100);
      for (auto& p : parts) co_await p.join();
    };
    std::thread waits([&] {
      auto token = g.add();
      token.done();
      g.wait_blocking();
    });
    weir::run(main(), {.workers = 2});
    waits.join();
  }
}

TEST_CASE("wait_group: wait_blocking on a worker throws where it would have to wait") {
  simulate([]() -> weir::task<> {
    weir::wait_group g;
    const auto token = g.add();
    CHECK_THROWS_AS(g.wait_blocking(), std::logic_error);
    co_return;
  });
}
