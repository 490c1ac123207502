#include "support.hpp"

using test::simulate;
using weir::for_each;
using weir::from;
using weir::transform;

TEST_CASE("stage_counters can be read while the pipeline runs: who is busy, what waits") {
  simulate([]() -> weir::task<> {
    weir::stage_counters parse{"parse"};
    weir::stage_counters store{"store"};
    auto quick = [](int n) -> weir::task<int> {
      co_await weir::sleep_for(1ms);
      co_return std::move(n);
    };
    auto slow = [](int) -> weir::task<> { co_await weir::sleep_for(1s); };
    auto watch = [&]() -> weir::task<> {
      co_await weir::sleep_for(500us);
      CHECK(parse.busy() == 2);
      CHECK(parse.in() == 2);
      CHECK(parse.out() == 0);
      CHECK(parse.queued() == 3 + 1);  // one in the hands of the task that fills the queue
      CHECK(parse.blocked() == 0);
      co_await weir::sleep_for(99ms);
      CHECK(store.busy() == 1);
      CHECK(store.in() == 1);
      CHECK(parse.out() == 1 + 3);
      CHECK(parse.blocked() == 2);  // the bottleneck is behind
      CHECK(parse.busy() == 0);
      CHECK(parse.queued() == 3 + 1);
      CHECK(parse.in() == 1 + 3 + 2);
    };
    co_await weir::when_all(watch(), from(test::numbers(20)) |
                                         transform(quick, {.workers = 2, .buffer = 3, .counters = &parse}) |
                                         for_each(slow, {.counters = &store}));
    CHECK(parse.in() == 20);
    CHECK(store.out() == 20);
    CHECK(parse.blocked() == 0);
  });
}

TEST_CASE("stage_counters of an ordered stage: results that wait for a slow item, and for room") {
  simulate([]() -> weir::task<> {
    weir::stage_counters stage;
    auto work = [](int n) -> weir::task<int> {
      const weir::duration length = n == 0 ? 1s : 1ms;
      co_await weir::sleep_for(length);
      co_return std::move(n);
    };
    auto watch = [&]() -> weir::task<> {
      co_await weir::sleep_for(500ms);
      CHECK(stage.in() == 3 + 4);  // what there are places for
      CHECK(stage.out() == 0);
      CHECK(stage.busy() == 1);
    };
    co_await weir::when_all(watch(),
                            from(test::numbers(30)) |
                                transform(work, {.workers = 3, .buffer = 4, .ordered = true, .counters = &stage}) |
                                for_each([](int) {}));
    CHECK(stage.out() == 30);
    CHECK(stage.queued() == 0);
  });
}

TEST_CASE("stage_counters of a stage that takes from the room behind the one before it: no queue of its own") {
  simulate([]() -> weir::task<> {
    weir::stage_counters second;
    auto slow = [](int n) -> weir::task<int> {
      co_await weir::sleep_for(1s);
      co_return std::move(n);
    };
    auto quick = [](int n) { return n; };
    auto watch = [&]() -> weir::task<> {
      co_await weir::sleep_for(10ms);
      CHECK(second.busy() == 2);
      CHECK(second.queued() == 0);
    };
    co_await weir::when_all(watch(), from(test::numbers(20)) | transform(quick, {.workers = 2}) |
                                         transform(slow, {.workers = 2, .counters = &second}) | for_each([](int) {}));
    CHECK(second.in() == 20);
  });
}

TEST_CASE("stage_counters: failures are counted where they happen, and stops are none") {
  for (const bool ordered : {false, true}) {
    simulate([ordered]() -> weir::task<> {
      weir::stage_counters fails;
      weir::stage_counters stopped;
      auto at_five = [](int n) -> weir::task<int> {
        co_await weir::sleep_for(n * 1ms);
        if (n == 5) throw std::runtime_error("five");
        co_return std::move(n);
      };
      auto stalls = [](int) -> weir::task<> { co_await test::never(); };
      auto how = co_await test::how_it_ends(
          from(test::numbers(20)) | transform(at_five, {.workers = 20, .ordered = ordered, .counters = &fails}) |
          for_each(stalls, {.workers = 3, .counters = &stopped}));
      CHECK(how == "five");
      CHECK(fails.errors() == 1);
      CHECK(fails.in() == 20);
      CHECK(fails.busy() == 0);
      CHECK(fails.blocked() == 0);
      CHECK(stopped.errors() == 0);
      CHECK(stopped.in() == 3);
      CHECK(stopped.out() == 0);
      CHECK(stopped.busy() == 0);
    });
  }
}

TEST_CASE("stage_counters: a plain function that throws is counted as well, in the end too") {
  simulate([]() -> weir::task<> {
    weir::stage_counters step;
    weir::stage_counters end;
    auto fails = [](int n) {
      if (n == 2) throw std::runtime_error("two");
      return n;
    };
    co_await test::how_it_ends(from(test::numbers(5)) | transform(fails, step) | for_each([](int) {}));
    CHECK(step.in() == 3);
    CHECK(step.out() == 2);
    CHECK(step.errors() == 1);
    auto ends = [](int n) {
      if (n == 2) throw std::runtime_error("two");
    };
    co_await test::how_it_ends(from(test::numbers(5)) | for_each(ends, {.counters = &end}));
    CHECK(end.in() == 3);
    CHECK(end.out() == 2);
    CHECK(end.errors() == 1);
    CHECK(end.busy() == 0);
  });
}

TEST_CASE("stage_counters go on where they are used again") {
  simulate([]() -> weir::task<> {
    weir::stage_counters both;
    auto stage = transform([](int n) { return n; }, both);
    co_await (from(test::numbers(3)) | stage | for_each([](int) {}));
    co_await (from(test::numbers(4)) | stage | for_each([](int) {}));
    CHECK(both.in() == 7);
  });
}
