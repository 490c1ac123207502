#include "support.hpp"

namespace {

/// On one real worker, where the order is fixed.
template <class F>
void on_one(F main) {
  weir::run(main(), {.workers = 1});
}

}  // namespace

TEST_CASE("yield lets everything that is ready run first, freshly spawned tasks too, however many") {
  on_one([]() -> weir::task<> {
    int ran = 0;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto child = [&]() -> weir::task<> {
        ++ran;
        co_return;
      };
      for (int i = 0; i < 1000; ++i) g.spawn(child);
      co_await weir::yield();
      CHECK(ran == 1000);
      g.spawn(child);
      co_await weir::yield();
      CHECK(ran == 1001);
    };
    co_await weir::with_task_group(body);
  });
}

TEST_CASE("tasks that yield take turns") {
  on_one([]() -> weir::task<> {
    std::string order;
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto child = [&](char name) -> weir::task<> {
        for (int i = 0; i < 3; ++i) {
          order += name;
          co_await weir::yield();
        }
      };
      g.spawn(child, 'c');
      g.spawn(child, 'b');
      g.spawn(child, 'a');
      co_await g.join();
    };
    co_await weir::with_task_group(body);
    // Freshly spawned children begin newest first; then first come, first served.
    CHECK(order.size() == 9);
    CHECK(order.substr(0, 3) == order.substr(3, 3));
    CHECK(order.substr(0, 3) == order.substr(6, 3));
  });
}

TEST_CASE("a checkpoint yields when the budget is used up: two loops of them share a worker") {
  on_one([]() -> weir::task<> {
    int switches = 0;
    char last = ' ';
    auto loop = [&](char name) -> weir::task<> {
      for (int i = 0; i < 10'000; ++i) {
        if (last != name) ++switches;
        last = name;
        co_await weir::checkpoint();
      }
    };
    co_await weir::when_all(loop('a'), loop('b'));
    CHECK(switches > 30);
    CHECK(switches < 2000);
  });
}

TEST_CASE("yield and checkpoint stop a cancelled task, also in the middle of a computation") {
  test::simulate([]() -> weir::task<> {
    weir::cancellation_source source;
    long steps = 0;
    auto computes = [&](bool yields) -> weir::task<> {
      for (;;) {
        if (++steps % 1000 == 0) source.request_cancellation();
        if (yields) {
          co_await weir::yield();
        } else {
          co_await weir::checkpoint();
        }
      }
    };
    const auto r = co_await weir::as_result(weir::with_cancellation(source.token(), computes(false)));
    CHECK(r.is_cancelled());
    CHECK(steps == 1000);
    const auto at_once = co_await weir::as_result(weir::with_cancellation(source.token(), computes(true)));
    CHECK(at_once.is_cancelled());
    CHECK(steps == 1001);
  });
}

TEST_CASE("under as_result they complete like any leaf") {
  test::simulate([]() -> weir::task<> {
    const auto a = co_await weir::as_result(weir::yield());
    const auto b = co_await weir::as_result(weir::checkpoint());
    CHECK(a.has_value());
    CHECK(b.has_value());
  });
}
