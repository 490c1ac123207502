#include "support.hpp"

// current_token, current_deadline, remaining, unwinding and now, inside and after every kind of scope.

namespace {

weir::task<int> seven() { co_return 7; }

/// What a task sees of its environment.
struct view {
  weir::cancellation_token token = weir::current_token();
  weir::time_point deadline = weir::current_deadline();
  friend bool operator==(const view&, const view&) = default;
};

weir::task<> look(view& out) {
  out = view();
  co_return;
}

}  // namespace

TEST_CASE("outside of tasks nothing can be cancelled and there is no deadline") {
  CHECK(!weir::current_token().can_be_cancelled());
  CHECK(weir::current_deadline() == weir::time_point::max());
  CHECK(weir::remaining() == weir::duration::max());
  CHECK(!weir::unwinding());
}

TEST_CASE("an awaited task has its awaiter's environment, a scope puts another in its place") {
  test::simulate([]() -> weir::task<> {
    const view here;
    CHECK(here.token.can_be_cancelled());
    view inside;
    co_await look(inside);
    CHECK(inside == here);
    co_await weir::with_timeout(5s, look(inside));
    CHECK(!(inside.token == here.token));
    CHECK(inside.deadline == weir::now() + 5s);
    co_await weir::shielded(look(inside));
    CHECK(!inside.token.can_be_cancelled());
    CHECK(inside.deadline == weir::time_point::max());
    CHECK(view() == here);
  });
}

TEST_CASE("after an await the task sees its own environment again, whatever scopes were in the expression") {
  test::simulate([]() -> weir::task<> {
    const view here;
    auto group = [](weir::task_group& g) -> weir::task<> {
      g.spawn(test::nap(1ms));
      co_return;
    };
    auto cleanup = [](const weir::cleanup_outcome&) -> weir::task<> { co_return; };
    weir::cancellation_source source;

    co_await weir::with_timeout(1s, weir::with_timeout(2s, weir::sleep_for(1ms)));
    CHECK(view() == here);
    co_await weir::with_timeout(1s, weir::with_timeout(2s, weir::sleep_for(0ms)));
    CHECK(view() == here);
    co_await weir::with_timeout(1s, weir::with_cancellation(source.token(), seven()));
    CHECK(view() == here);
    co_await weir::with_timeout(1s, weir::with_task_group(group));
    CHECK(view() == here);
    co_await weir::with_timeout(1s, weir::shielded(weir::checkpoint()));
    CHECK(view() == here);
    co_await weir::with_timeout(1s, weir::shielded(test::nap(1ms)));
    CHECK(view() == here);
    co_await weir::with_timeout(1s, weir::when_all(seven(), test::nap(1ms)));
    CHECK(view() == here);
    co_await weir::with_timeout(1s, weir::when_any(seven(), test::nap(1ms)));
    CHECK(view() == here);
    co_await weir::with_timeout(1s, weir::with_cleanup(test::nap(1ms), cleanup, 1s));
    CHECK(view() == here);
    std::vector<weir::task<>> none;
    co_await weir::when_all(std::move(none));
    CHECK(view() == here);
    const auto inner = co_await weir::as_result(weir::with_timeout(1s, weir::with_timeout(1ms, test::nap(1h))));
    CHECK(inner.error() == std::errc::timed_out);
    CHECK(view() == here);
    const auto outer = co_await weir::as_result(weir::with_timeout(1ms, weir::with_timeout(1s, test::nap(1h))));
    CHECK(outer.error() == std::errc::timed_out);
    CHECK(view() == here);
    const auto failed =
        co_await weir::as_result(weir::with_timeout(1s, weir::with_task_group([](weir::task_group& g) -> weir::task<> {
                                                      g.spawn(test::fail_after(1ms, "no"));
                                                      co_await g.join();
                                                    })));
    CHECK(failed.error() == weir::errc::exception);
    CHECK(view() == here);
  });
}

TEST_CASE("remaining() counts down to the nearest of all deadlines around, and is never negative") {
  test::simulate([]() -> weir::task<> {
    auto inner = []() -> weir::task<> {
      CHECK(weir::remaining() == 2s);
      co_await weir::sleep_for(500ms);
      CHECK(weir::remaining() == 1500ms);
    };
    co_await weir::with_timeout(2s, weir::with_timeout(3s, inner()));
    co_await weir::with_timeout(3s, weir::with_timeout(2s, inner()));
    auto late = []() -> weir::task<> {
      CHECK(weir::remaining() == 0s);
      co_return;
    };
    co_await weir::with_deadline(weir::now() - 1ms, late());
    CHECK(weir::remaining() == weir::duration::max());
  });
}

TEST_CASE("children of a group see the group's token and deadline") {
  test::simulate([]() -> weir::task<> {
    auto body = [](weir::task_group& g) -> weir::task<> {
      const view mine;
      CHECK(mine.token == g.token());
      auto child = [](weir::time_point deadline) -> weir::task<> {
        CHECK(weir::current_deadline() == deadline);
        CHECK(weir::current_token().can_be_cancelled());
        co_return;
      };
      g.spawn(child, mine.deadline);
      co_await g.join();
      CHECK(view() == mine);
    };
    co_await weir::with_timeout(1s, weir::with_task_group(body));
  });
}

TEST_CASE("unwinding() is true in destructors that a stop runs, and only there") {
  test::log seen;
  test::simulate([&]() -> weir::task<> {
    {
      test::mark plain(seen, "scope");
    }
    try {
      test::mark thrown(seen, "throw");
      throw std::runtime_error("x");
    } catch (const std::runtime_error&) {
    }
    const auto r = co_await weir::as_result(weir::with_timeout(1ms, test::stuck(seen, "stop")));
    CHECK(r.error() == std::errc::timed_out);
    CHECK(!weir::unwinding());
  });
  CHECK(seen == test::log{"scope", "throw", "stop!"});
}

TEST_CASE("a destructor that a stop runs sees the token that stopped it and the task's deadline") {
  bool checked = false;
  test::simulate([&]() -> weir::task<> {
    class witness {
     public:
      explicit witness(bool& out) : out_(out) {}
      witness(const witness&) = delete;
      witness& operator=(const witness&) = delete;
      ~witness() {
        out_ = weir::current_token().is_cancellation_requested() && weir::current_deadline() <= weir::now() &&
               std::uncaught_exceptions() == 0;
      }

     private:
      bool& out_;
    };
    auto work = [](bool& out) -> weir::task<> {
      witness w(out);
      co_await weir::sleep_for(1h);
    };
    const auto r = co_await weir::as_result(weir::with_timeout(1ms, work(checked)));
    CHECK(r.error() == std::errc::timed_out);
  });
  CHECK(checked);
}

TEST_CASE("now() stands still while a task of a simulation runs, and moves with its timers") {
  test::simulate([]() -> weir::task<> {
    const weir::time_point start = weir::now();
    for (int i = 0; i < 1000; ++i) co_await weir::checkpoint();
    CHECK(weir::now() == start);
    co_await weir::sleep_for(10h);
    CHECK(weir::now() == start + 10h);
  });
}
