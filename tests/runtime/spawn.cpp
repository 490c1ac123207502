#include <functional>

#include <thread>

#include "support.hpp"

using test::simulate;
using test::simulate_reporting;

namespace {

weir::task<int> add(int a, int b) {
  co_await weir::yield();
  co_return a + b;
}

struct adder {
  int base;
  weir::task<int> plus(int n) const {
    co_await weir::yield();
    co_return base + n;
  }
};

}  // namespace

TEST_CASE("spawn starts a task beside the caller; join() completes with its value") {
  simulate([]() -> weir::task<> {
    auto h = weir::spawn(test::after(1ms, std::make_unique<int>(3)));
    CHECK(static_cast<bool>(h));
    CHECK(!h.done());
    const auto value = co_await h.join();
    CHECK(*value == 3);
    CHECK(h.done());
    int x = 0;
    auto reference = [](int& to) -> weir::task<int&> { co_return to; };
    auto r = weir::spawn(reference(x));
    int& y = co_await r.join();
    y = 4;
    CHECK(x == 4);
    auto nothing = weir::spawn(test::nap(1ms));
    co_await nothing.join();
  });
}

TEST_CASE("spawn(fn, args...) keeps callable and arguments alive: captures, move-only ones, references, members") {
  simulate([]() -> weir::task<> {
    auto captured = std::make_unique<int>(40);
    auto callable = [held = std::move(captured)](std::unique_ptr<int> more) -> weir::task<int> {
      co_await weir::sleep_for(1ms);
      co_return *held + *more;
    };
    auto h = weir::spawn(TEST_MOVE_CALLABLE(callable), std::make_unique<int>(2));
    const int sum = co_await h.join();
    CHECK(sum == 42);

    // A parameter by reference is bound to the copy in the task's record.
    auto by_reference = [](const std::string& s) -> weir::task<std::size_t> {
      co_await weir::sleep_for(1ms);
      co_return s.size();
    };
    auto sizes = weir::spawn(by_reference, std::string(1000, 'x'));
    const std::size_t size = co_await sizes.join();
    CHECK(size == 1000);

    int counter = 0;
    auto counts = [](int& c) -> weir::task<> {
      ++c;
      co_return;
    };
    auto counting = weir::spawn(counts, std::ref(counter));
    co_await counting.join();
    CHECK(counter == 1);

    auto function = weir::spawn(add, 1, 2);
    const int three = co_await function.join();
    CHECK(three == 3);
    auto member = weir::spawn(&adder::plus, adder{10}, 5);
    const int fifteen = co_await member.join();
    CHECK(fifteen == 15);
    std::function<weir::task<int>()> erased = [] { return add(3, 4); };
    auto through = weir::spawn(erased);
    const int seven = co_await through.join();
    CHECK(seven == 7);
  });
}

TEST_CASE("captures and arguments of a spawned call die with its task, though its handle is kept") {
  simulate([]() -> weir::task<> {
    const auto watched = std::make_shared<int>(1);
    auto callable = [held = watched](std::shared_ptr<int>) -> weir::task<> { co_await weir::sleep_for(1ms); };
    auto ended = weir::spawn(callable, watched);
    auto stopped = weir::spawn(callable, watched);
    CHECK(watched.use_count() == 6);
    stopped.request_cancellation();
    co_await ended.join();
    // The named callable's own, and ours.
    CHECK(watched.use_count() == 2);
    const auto r = co_await weir::as_result(stopped.join());
    CHECK(r.is_cancelled());
  });
}

TEST_CASE("a callable that throws instead of making a task leaves nothing behind") {
  simulate([]() -> weir::task<> {
    auto throws = [](std::shared_ptr<test::counted>) -> weir::task<> { throw std::runtime_error("no task"); };
    CHECK_THROWS_WITH(weir::spawn(throws, std::make_shared<test::counted>()), "no task");
    CHECK(test::counted::alive == 0);
    co_return;
  });
}

TEST_CASE("join() of a failed task throws its exception, before and after it has ended") {
  test::unobserved errors;
  simulate_reporting([]() -> weir::task<> {
    auto waits = weir::spawn(test::fail_after(1ms, "no"));
    const auto r = co_await weir::as_result(waits.join());
    CHECK(test::unobserved::what(r.exception()) == "no");
    auto ended = weir::spawn(test::fail_after(1ms, "no"));
    co_await weir::sleep_for(2ms);
    CHECK(ended.done());
    std::string what;
    try {
      co_await ended.join();
    } catch (const std::runtime_error& e) {
      what = e.what();
    }
    CHECK(what == "no");
  });
  CHECK(errors.take().empty());
}

TEST_CASE("join() of a stopped task throws cancelled: an error, not a stop") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    auto h = weir::spawn(test::stuck(seen, "task"));
    auto canceller = [&]() -> weir::task<> {
      co_await weir::sleep_for(1ms);
      h.request_cancellation();
      h.request_cancellation();
    };
    auto c = weir::spawn(canceller);
    bool threw = false;
    try {
      co_await h.join();
    } catch (const weir::cancelled& e) {
      threw = e.cause() == weir::cancellation_cause::requested;
    }
    CHECK(threw);
    CHECK(!weir::current_token().is_cancellation_requested());
    co_await c.join();
    h.request_cancellation();  // it has ended: nothing happens
    const auto again = co_await weir::as_result(h.join());
    CHECK(again.is_cancelled());
  });
  CHECK(seen == test::log{"task!"});
}

TEST_CASE("a task that is cancelled before it began runs up to its first leaf") {
  simulate([]() -> weir::task<> {
    int steps = 0;
    auto work = [&]() -> weir::task<> {
      ++steps;
      co_await weir::yield();
      ++steps;
    };
    auto h = weir::spawn(work);
    h.request_cancellation();
    const auto r = co_await weir::as_result(h.join());
    CHECK(r.is_cancelled());
    CHECK(steps == 1);
    // One that never waits ends with its value all the same.
    auto quick = []() -> weir::task<int> { co_return 5; };
    auto q = weir::spawn(quick);
    q.request_cancellation();
    const int value = co_await q.join();
    CHECK(value == 5);
  });
}

TEST_CASE("a task spawned from outside can be cancelled there before the worker has seen it, and later") {
  weir::runtime rt({.workers = 1});
  std::atomic<int> begun{0};
  auto work = [&]() -> weir::task<int> {
    const test::counted guard;
    ++begun;
    co_await weir::sleep_for(1h);
    co_return 1;
  };
  for (int i = 0; i < 100; ++i) {
    weir::join_handle<int> early;
    weir::join_handle<int> dropped;
    weir::join_handle<int> late;
    std::atomic<bool> release{false};
    auto busy = rt.spawn([&]() -> weir::task<> {
      while (!release) std::this_thread::yield();
      co_return;
    });
    early = rt.spawn(work);
    early.request_cancellation();
    early.request_cancellation();
    dropped = rt.spawn(work);
    dropped.request_cancellation();
    dropped = {};
    late = rt.spawn(work);
    release = true;
    while (begun != 3) std::this_thread::yield();
    begun = 0;
    late.request_cancellation();
    late.request_cancellation();
    const auto ends = [&]() -> weir::task<> {
      const auto first = co_await weir::as_result(early.join());
      CHECK(first.is_cancelled());
      const auto last = co_await weir::as_result(late.join());
      CHECK(last.is_cancelled());
      co_await busy.join();
    };
    rt.block_on(ends());
    early.request_cancellation();
    CHECK(test::counted::alive == 0);
  }
}

TEST_CASE("a join that is cancelled leaves the task alone, and it can be joined later") {
  simulate([]() -> weir::task<> {
    auto h = weir::spawn(test::after(10ms, 6));
    for (int i = 0; i < 5; ++i) {
      const auto r = co_await weir::as_result(weir::with_timeout(1ms, h.join()));
      CHECK(r.error() == std::errc::timed_out);
    }
    const auto at_once = co_await weir::as_result(weir::with_timeout(0s, h.join()));
    CHECK(at_once.error() == std::errc::timed_out);
    const int value = co_await h.join();
    CHECK(value == 6);
  });
}

TEST_CASE("failures that nobody observes reach on_error exactly once") {
  test::unobserved errors;
  weir::join_handle<int> outlives;
  simulate_reporting([&]() -> weir::task<> {
    weir::spawn(test::fail_after(1ms, "dropped at once"));
    {
      auto h = weir::spawn(test::fail_after(1ms, "dropped after its end"));
      co_await weir::sleep_for(2ms);
    }
    {
      auto h = weir::spawn(test::fail_after(5ms, "join was cancelled"));
      const auto r = co_await weir::as_result(weir::with_timeout(1ms, h.join()));
      CHECK(r.error() == std::errc::timed_out);
    }
    auto joined = weir::spawn(test::fail_after(1ms, "joined"));
    const auto r = co_await weir::as_result(joined.join());
    CHECK(!r.has_value());
    outlives = weir::spawn(test::fail_after(1ms, "outlives its runtime"));
    co_await weir::sleep_for(10ms);
  });
  CHECK(errors.take() == test::log{"dropped at once", "dropped after its end", "join was cancelled"});
  outlives = {};
  {
    auto last = std::move(outlives);
  }
  CHECK(errors.take() == test::log{"outlives its runtime"});
}

TEST_CASE("stopped tasks are no failures") {
  test::unobserved errors;
  simulate_reporting([]() -> weir::task<> {
    weir::spawn(test::nap(1h));
    auto h = weir::spawn(test::nap(1h));
    h.request_cancellation();
    co_await weir::sleep_for(1ms);
  });
  CHECK(errors.take().empty());
}

TEST_CASE("what main has spawned is cancelled (cause: shutdown) and joined when main ends") {
  test::log seen;
  weir::join_handle<> h;
  {
    weir::simulation world{{.seed = 5}};
    auto main = [&]() -> weir::task<> {
      auto work = [&]() -> weir::task<> {
        test::mark m(seen, "spawned");
        const weir::cancellation_token token = weir::current_token();
        auto note = [&seen, token] { seen.push_back(weir::to_string(token.cause())); };
        const weir::cancellation_callback callback(token, note);
        co_await weir::sleep_for(1h);
      };
      h = weir::spawn(work);
      co_await weir::sleep_for(1ms);
    };
    world.run(main());
    CHECK(seen.empty());
    CHECK(!h.done());
  }
  CHECK(seen == test::log{"shutdown", "spawned!"});
  CHECK(h.done());
}

TEST_CASE("a spawned task may spawn on, also while the runtime ends") {
  int begun = 0;
  simulate([&]() -> weir::task<> {
    auto chain = [](auto self, int& count, int n) -> weir::task<> {
      ++count;
      if (n > 0) weir::spawn(self, self, std::ref(count), n - 1);
      co_await weir::yield();
    };
    weir::spawn(chain, std::ref(chain), std::ref(begun), 9);
    co_return;
  });
  CHECK(begun == 10);
}

TEST_CASE("handles: empty, moved, assigned") {
  simulate([]() -> weir::task<> {
    weir::join_handle<int> empty;
    CHECK(!empty);
    CHECK(!empty.done());
    empty.request_cancellation();
    auto h = weir::spawn(add, 1, 1);
    empty = std::move(h);
    const int two = co_await empty.join();
    CHECK(two == 2);
  });
}

TEST_CASE("a selection of misuse ends the program with a sentence") {
  CHECK(test::last_words_of([] {
          simulate([]() -> weir::task<> {
            weir::join_handle<> empty;
            co_await empty.join();
          });
        }).find("join() of an empty join_handle") != std::string::npos);
  CHECK(test::last_words_of([] {
          simulate([]() -> weir::task<> {
            auto h = weir::spawn(test::nap(1h));
            auto joins = [&]() -> weir::task<> { co_await h.join(); };
            co_await weir::when_all(joins(), joins());
          });
        }).find("two tasks join the same join_handle") != std::string::npos);
  CHECK(test::last_words_of([] { weir::spawn(test::nap(1h)); }).find("outside of a task") != std::string::npos);
  CHECK(test::last_words_of([] {
          simulate([]() -> weir::task<> {
            auto t = test::nap(1h);
            auto moved = std::move(t);
            weir::spawn(std::move(t));
            co_await std::move(moved);
          });
        }).find("moved from or already awaited") != std::string::npos);
}
