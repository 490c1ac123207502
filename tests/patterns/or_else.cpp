#include "support.hpp"

#include <weir/patterns/or_else.hpp>

using test::simulate;
using weir::collect;
using weir::failed_item;
using weir::for_each;
using weir::from;
using weir::transform;

namespace {

void fail_on_threes(int n) {
  if (n % 3 == 0) throw std::runtime_error("three");
}

}  // namespace

TEST_CASE("or_else: failed items go to a channel with what was thrown, the others go on, and errors are counted") {
  for (const int kind : {0, 1, 2, 3}) {
    CAPTURE(kind);
    simulate([kind]() -> weir::task<> {
      weir::channel<failed_item<int>> failures(2);
      weir::stage_counters stage{"stage"};
      auto plain = [](int n) {
        fail_on_threes(n);
        return 10 * n;
      };
      auto waits = [](int n) -> weir::task<int> {
        co_await weir::sleep_for((10 - n) * 1ms);
        fail_on_threes(n);
        co_return 10 * n;
      };
      std::vector<int> failed;
      auto read = [&]() -> weir::task<> {
        while (auto one = co_await failures.receive()) {
          failed.push_back(one->item);
          CHECK(test::unobserved::what(one->error) == "three");
        }
      };
      auto work = [&]() -> weir::task<std::vector<int>> {
        std::vector<int> all;
        if (kind == 0) {
          all = co_await (from(test::numbers(10)) | transform(plain, stage).or_else(failures) | collect());
        } else if (kind == 1) {
          all = co_await (from(test::numbers(10)) | transform(waits, stage).or_else(failures) | collect());
        } else {
          const weir::transform_options options{.workers = 4, .buffer = 2, .ordered = kind == 3, .counters = &stage};
          all = co_await (from(test::numbers(10)) | transform(waits, options).or_else(failures) | collect());
        }
        failures.close();
        co_return all;
      };
      auto both = co_await weir::when_all(work(), read());
      const auto& good = std::get<0>(both);
      CHECK((kind == 2 ? test::sorted(good) : good) == std::vector{10, 20, 40, 50, 70, 80});
      CHECK(test::sorted(failed) == std::vector{0, 3, 6, 9});
      CHECK(stage.in() == 10);
      CHECK(stage.out() == 6);
      CHECK(stage.errors() == 4);
      CHECK(stage.busy() == 0);
    });
  }
}

TEST_CASE("or_else: a function for failed items, plain or a task; a plain stage stays fused with a plain one") {
  simulate([]() -> weir::task<> {
    auto risky = [](const test::item& i) {
      fail_on_threes(i.value);
      return test::item(i.value);
    };
    std::vector<int> failed;
    auto note = [&](const failed_item<test::item>& f) { failed.push_back(f.item.value); };
    auto all = co_await (from(test::items(7)) | transform(risky).or_else(note) | collect());
    CHECK(test::values_of(all) == std::vector{1, 2, 4, 5});
    CHECK(failed == std::vector{0, 3, 6});
    auto slow_note = [&](failed_item<test::item> f) -> weir::task<> {
      co_await weir::sleep_for(1ms);
      failed.push_back(f.item.value);
    };
    all = co_await (from(test::items(7)) | transform(risky).or_else(slow_note) | collect());
    CHECK(test::values_of(all) == std::vector{1, 2, 4, 5});
    CHECK(failed == std::vector{0, 3, 6, 0, 3, 6});
    CHECK(weir::now() == test::at(3ms));
  });
  CHECK(test::counted::alive == 0);
}

TEST_CASE("or_else: at the end of a pipeline, with workers and without") {
  simulate([]() -> weir::task<> {
    weir::stage_counters stored{"stored"};
    auto store = [](int n) -> weir::task<> {
      co_await weir::sleep_for(1ms);
      fail_on_threes(n);
    };
    int failed = 0;
    auto count = [&](failed_item<int>) { ++failed; };
    co_await (from(test::numbers(10)) | for_each(fail_on_threes, {.counters = &stored}).or_else(count));
    CHECK(failed == 4);
    co_await (from(test::numbers(10)) | for_each(store, {.workers = 3, .counters = &stored}).or_else(count));
    CHECK(failed == 8);
    CHECK(stored.in() == 20);
    CHECK(stored.out() == 12);
    CHECK(stored.errors() == 8);
  });
}

TEST_CASE("or_else: a closed channel gives the error back, which ends the pipeline; so does what the function throws") {
  simulate([]() -> weir::task<> {
    weir::channel<failed_item<int>> closed(1);
    closed.close();
    auto risky = [](int n) {
      fail_on_threes(n);
      return n;
    };
    auto how =
        co_await test::how_it_ends(from(test::numbers(5)) | transform(risky).or_else(closed) | for_each([](int) {}));
    CHECK(how == "three");
    auto refuses = [](const failed_item<int>&) { throw std::runtime_error("too much"); };
    how = co_await test::how_it_ends(from(test::numbers(3)) | transform(risky, {.workers = 2}).or_else(refuses) |
                                     for_each([](int) {}));
    CHECK(how == "too much");
  });
}

TEST_CASE("or_else: a stop is no error, and every item is accounted for up to there") {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    simulate(
        [seed]() -> weir::task<> {
          test::dice dice(seed);
          int failed = 0;
          weir::stage_counters stage;
          auto work = [&](const test::item& i) -> weir::task<test::item> {
            co_await weir::sleep_for(dice.roll(4) * 1us);
            fail_on_threes(i.value);
            co_return test::item(i.value);
          };
          auto count = [&](const failed_item<test::item>& f) {
            CHECK(f.item.value % 3 == 0);
            ++failed;
          };
          const weir::transform_options options{
              .workers = 3, .buffer = 1, .ordered = seed % 2 == 0, .counters = &stage};
          std::vector<int> good;
          auto keep = [&](test::item i) { good.push_back(i.value); };
          const auto limit = std::chrono::microseconds(dice.roll(60));
          auto ended = co_await weir::as_result(weir::with_timeout(
              limit, from(test::items(60)) | transform(work, options).or_else(count) | for_each(keep)));
          CHECK(stage.errors() == static_cast<std::uint64_t>(failed));
          CHECK(test::counted::alive == 0);
          if (ended) {
            CHECK(failed == 20);
            CHECK(good.size() == 40);
          } else {
            CHECK(ended.error() == std::errc::timed_out);
          }
          if (options.ordered) CHECK(std::is_sorted(good.begin(), good.end()));
        },
        seed);
  }
}
