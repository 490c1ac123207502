#include "support.hpp"

using test::simulate;
using weir::for_each;
using weir::from;

TEST_CASE("for_each: one item after the other, in order, with a plain function or a task") {
  simulate([]() -> weir::task<> {
    std::vector<int> seen;
    co_await (from(test::numbers(5)) | for_each([&](int n) { seen.push_back(n); }));
    CHECK(seen == test::up_to(5));
    seen.clear();
    int at_once = 0;
    auto slow = [&](int n) -> weir::task<> {
      CHECK(++at_once == 1);
      co_await weir::sleep_for((5 - n) * 1ms);
      --at_once;
      seen.push_back(n);
    };
    co_await (from(test::numbers(5)) | for_each(slow));
    CHECK(seen == test::up_to(5));
    CHECK(weir::now().time_since_epoch() == 15ms);
    co_await (from(test::numbers(5)) | for_each([](int n) { return n; }));  // a result is dropped
    auto made = [](int n) -> weir::task<int> { co_return std::move(n); };
    co_await (from(test::numbers(5)) | for_each(made));
  });
}

TEST_CASE("for_each: one worker has no queue before it, whatever the buffer") {
  simulate([]() -> weir::task<> {
    int made = 0;
    auto stalls = [](test::item) -> weir::task<> { co_await test::never(); };
    auto pipeline = from(test::counted_items(made, 1000)) | for_each(stalls, {.workers = 1, .buffer = 100});
    const auto ended = co_await weir::as_result(weir::with_timeout(1h, std::move(pipeline)));
    CHECK(ended.error() == std::errc::timed_out);
    CHECK(made == 1);
  });
}

TEST_CASE("for_each with workers: calls overlap, and the source is read no further than the buffer allows") {
  for (const unsigned workers : {2u, 5u}) {
    for (const unsigned buffer : {0u, 3u}) {
      simulate([workers, buffer]() -> weir::task<> {
        int now = 0;
        int most = 0;
        std::vector<int> seen;
        auto slow = [&](test::item i) -> weir::task<> {
          most = std::max(most, ++now);
          co_await weir::sleep_for(1s);
          --now;
          seen.push_back(i.value);
        };
        co_await (from(test::items(20)) | for_each(slow, {.workers = workers, .buffer = buffer}));
        CHECK(test::sorted(seen) == test::up_to(20));
        CHECK(most == static_cast<int>(workers));
        CHECK(weir::now().time_since_epoch() == 20s / static_cast<int>(workers));
        CHECK(test::counted::alive == 0);

        int made = 0;
        auto stalls = [](test::item) -> weir::task<> { co_await test::never(); };
        auto pipeline =
            from(test::counted_items(made, 1000)) | for_each(stalls, {.workers = workers, .buffer = buffer});
        const auto ended = co_await weir::as_result(weir::with_timeout(1h, std::move(pipeline)));
        CHECK(ended.error() == std::errc::timed_out);
        CHECK(made == static_cast<int>(workers + buffer + 1));
        CHECK(test::counted::alive == 0);
      });
    }
  }
}

TEST_CASE("for_each completes only when every item is done with") {
  simulate([]() -> weir::task<> {
    int done = 0;
    auto slow = [&](int n) -> weir::task<> {
      co_await weir::sleep_for(n * 10ms);
      ++done;
    };
    co_await (from(test::numbers(4)) | for_each(slow, {.workers = 4}));
    CHECK(done == 4);
    CHECK(weir::now().time_since_epoch() == 30ms);
  });
}

TEST_CASE("for_each: what it throws ends the pipeline; other calls are stopped and joined before it comes out") {
  for (const unsigned workers : {1u, 3u}) {
    simulate([workers]() -> weir::task<> {
      test::log seen;
      auto call = [&](test::item i) -> weir::task<> {
        const test::mark here(seen, std::to_string(i.value));
        const weir::duration length = i.value == 1 ? 5ms : 50ms;
        co_await weir::sleep_for(length);
        if (i.value == 1) throw std::runtime_error("one");
      };
      auto how = co_await test::how_it_ends(from(test::items(100)) | for_each(call, {.workers = workers}));
      CHECK(how == "one");
      std::sort(seen.begin(), seen.end());
      CHECK(seen == (workers == 1 ? test::log{"0", "1"} : test::log{"0!", "1", "2!"}));
      CHECK(test::counted::alive == 0);
    });
  }
}

TEST_CASE("for_each: later failures of other workers go to on_error, as in any group") {
  test::unobserved reported;
  test::simulate_reporting([]() -> weir::task<> {
    auto call = [](int n) -> weir::task<> {
      co_await weir::shielded(weir::sleep_for(n * 1ms));
      throw std::runtime_error("call " + std::to_string(n));
    };
    std::vector<int> both{1, 2};
    auto how = co_await test::how_it_ends(from(std::move(both)) | for_each(call, {.workers = 2}));
    CHECK(how == "call 1");
  });
  CHECK(test::unobserved::take() == test::log{"call 2"});
}

TEST_CASE("for_each: cancelled, it stops the calls and destroys the items between the stages") {
  for (const unsigned workers : {1u, 3u}) {
    simulate([workers]() -> weir::task<> {
      test::log seen;
      auto call = [&](test::item i) -> weir::task<> {
        const test::mark here(seen, std::to_string(i.value));
        co_await test::never();
      };
      auto pipeline = from(test::items(100)) | for_each(call, {.workers = workers});
      const auto ended = co_await weir::as_result(weir::with_timeout(1s, std::move(pipeline)));
      CHECK(ended.error() == std::errc::timed_out);
      CHECK(seen.size() == workers);
      CHECK(test::counted::alive == 0);
    });
  }
}

TEST_CASE("for_each keeps its function while it runs, and only then") {
  simulate([]() -> weir::task<> {
    {
      auto holder = [held = test::item(1)](int n) -> weir::task<> {
        co_await weir::sleep_for(1ms);
        CHECK(held.value == 1);
        CHECK(n < 3);
      };
      auto stage = for_each(TEST_MOVE_CALLABLE(holder), {.workers = 2});
      auto pipeline = from(test::numbers(3)) | std::move(stage);
      co_await std::move(pipeline);
    }
    CHECK(test::counted::alive == 0);
  });
}

TEST_CASE("for_each counts exactly, with and without workers") {
  simulate([]() -> weir::task<> {
    for (const unsigned workers : {1u, 3u}) {
      weir::stage_counters counters{"end"};
      auto slow = [](int) -> weir::task<> { co_await weir::sleep_for(1ms); };
      co_await (from(test::numbers(20)) | for_each(slow, {.workers = workers, .counters = &counters}));
      CHECK(counters.in() == 20);
      CHECK(counters.out() == 20);
      CHECK(counters.queued() == 0);
      CHECK(counters.busy() == 0);
      CHECK(counters.errors() == 0);
    }
  });
}
