#include "support.hpp"

using test::simulate;
using weir::collect;
using weir::for_each;
using weir::from;
using weir::merge;

namespace {

/// n numbers from `first` on, each after a pause.
weir::async_generator<int> paced(int first, int n, weir::duration pause) {
  for (int i = 0; i < n; ++i) {
    co_await weir::sleep_for(pause);
    co_yield first + i;
  }
}

weir::async_generator<test::item> marked_items(test::log& seen, const char* name) {
  const test::mark here(seen, name);
  for (int i = 0;; ++i) {
    co_await weir::sleep_for(1ms);
    co_yield test::item(i);
  }
}

}  // namespace

TEST_CASE("merge: items as they come; it ends when all have ended") {
  simulate([]() -> weir::task<> {
    auto all =
        co_await (merge(from(paced(0, 3, 10ms)), from(paced(100, 2, 12ms)), from(paced(200, 1, 100ms))) | collect());
    CHECK(all == std::vector{0, 100, 1, 101, 2, 200});
    CHECK(weir::now().time_since_epoch() == 100ms);
  });
}

TEST_CASE("merge: of one, of empty ones, of a channel and a range, with stages before and behind") {
  simulate([]() -> weir::task<> {
    auto one = co_await (merge(from(test::numbers(5))) | collect());
    CHECK(one == test::up_to(5));
    auto none = co_await (merge(from(test::numbers(0)), from(test::numbers(0))) | collect());
    CHECK(none.empty());
    weir::channel<int> channel(3);
    for (int i = 5; i < 8; ++i) CHECK(channel.try_send(i));
    channel.close();
    std::vector<int> range{8, 9};
    auto mixed = co_await (
        merge(from(channel), from(range), from(test::numbers(10)) | weir::filter([](int n) { return n < 5; })) |
        weir::transform([](int n) { return n; }, {.workers = 2}) | collect());
    CHECK(test::sorted(mixed) == test::up_to(10));
    auto nested =
        co_await (merge(merge(from(paced(0, 2, 1ms)), from(paced(2, 2, 1ms))), from(paced(4, 2, 1ms))) | collect());
    CHECK(test::sorted(nested) == test::up_to(6));
  });
}

TEST_CASE("merge: the items of each source keep their order, whoever runs") {
  for (std::uint64_t seed = 0; seed < static_cast<std::uint64_t>(test::scaled(200, 40)); ++seed) {
    simulate(
        []() -> weir::task<> {
          std::vector<test::item> all;
          auto hundreds = [](test::item i) { return test::item(100 + i.value); };
          auto thousands = [](test::item i) { return test::item(1000 + i.value); };
          all = co_await (merge(from(test::items(50)), from(test::items(50)) | weir::transform(hundreds),
                                from(test::items(50)) | weir::transform(thousands, {.workers = 1, .buffer = 2})) |
                          collect());
          CHECK(all.size() == 150);
          std::vector<int> next{0, 100, 1000};
          for (const test::item& i : all) CHECK(i.value == next[i.value >= 1000 ? 2 : i.value >= 100 ? 1 : 0]++);
        },
        seed);
  }
  CHECK(test::counted::alive == 0);
}

TEST_CASE("merge: its counters tell what came, what went on, and whose items wait for room") {
  simulate([]() -> weir::task<> {
    weir::stage_counters merged{"merge"};
    auto slow = [](int) -> weir::task<> { co_await weir::sleep_for(1s); };
    auto watch = [&]() -> weir::task<> {
      co_await weir::sleep_for(500ms);
      CHECK(merged.out() == 1 + 2);  // one in the hands of the end, two in the room behind
      CHECK(merged.in() == 3 + 2);   // and one in those of each source's task
      CHECK(merged.blocked() == 2);
    };
    co_await weir::when_all(
        watch(),
        merge({.buffer = 2, .counters = &merged}, from(test::numbers(9)), from(test::numbers(9))) | for_each(slow));
    CHECK(merged.in() == 18);
    CHECK(merged.out() == 18);
    CHECK(merged.blocked() == 0);
  });
}

TEST_CASE("merge: one that fails ends the others, and its items are not taken for all there were") {
  simulate([]() -> weir::task<> {
    test::log seen;
    bool ended = false;
    auto fails = [](test::item i) {
      if (i.value == 5) throw std::runtime_error("source");
      return i;
    };
    auto batches = [&](std::vector<test::item>) { ended = true; };
    auto how = co_await test::how_it_ends(merge(from(marked_items(seen, "a")),
                                                from(marked_items(seen, "b")) | weir::transform(fails),
                                                from(marked_items(seen, "c"))) |
                                          weir::batch(1000) | for_each(batches));
    CHECK(how == "source");
    CHECK(!ended);
    std::sort(seen.begin(), seen.end());
    CHECK(seen == test::log{"a!", "b", "c!"});
    CHECK(test::counted::alive == 0);
    CHECK(weir::now().time_since_epoch() == 6ms);
  });
}

TEST_CASE("merge: an end that fails stops every source") {
  simulate([]() -> weir::task<> {
    test::log seen;
    auto fails = [](test::item i) {
      if (i.value == 3) throw std::runtime_error("end");
    };
    auto how = co_await test::how_it_ends(merge(from(marked_items(seen, "a")), from(marked_items(seen, "b"))) |
                                          for_each(fails));
    CHECK(how == "end");
    CHECK(seen.size() == 2);
    CHECK(test::counted::alive == 0);
  });
}

TEST_CASE("merge: up to 64 items wait behind it, and one in the hands of each task that reads a source") {
  simulate([]() -> weir::task<> {
    int one = 0;
    int other = 0;
    auto stalls = [](test::item) -> weir::task<> { co_await test::never(); };
    auto pipeline = merge(from(test::counted_items(one, 1'000'000)), from(test::counted_items(other, 1'000'000))) |
                    for_each(stalls);
    const auto ended = co_await weir::as_result(weir::with_timeout(1h, std::move(pipeline)));
    CHECK(ended.error() == std::errc::timed_out);
    CHECK(one + other == 64 + 2 + 1);
    CHECK(one > 0);
    CHECK(other > 0);
    CHECK(test::counted::alive == 0);
  });
}
