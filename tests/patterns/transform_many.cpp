#include <span>

#include "support.hpp"

#include <weir/patterns/take.hpp>
#include <weir/patterns/transform_many.hpp>
#include <weir/patterns/unbatch.hpp>

using test::simulate;
using weir::collect;
using weir::from;
using weir::transform_many;

TEST_CASE("transform_many: the elements of a range, of a task's range, of a generator, in order") {
  simulate([]() -> weir::task<> {
    auto repeat = [](int n) { return std::vector<std::string>(static_cast<std::size_t>(n), std::to_string(n)); };
    const std::vector<std::string> expected{"1", "2", "2", "3", "3", "3"};
    auto plain = co_await (from(test::numbers(4)) | transform_many(repeat) | collect());
    CHECK(plain == expected);
    auto later = [&](int n) -> weir::task<std::vector<std::string>> {
      co_await weir::sleep_for(1ms);
      co_return repeat(n);
    };
    auto tasks = co_await (from(test::numbers(4)) | transform_many(later) | collect());
    CHECK(tasks == expected);
    CHECK(weir::now() == test::at(4ms));
    auto counting = [](test::item up_to) -> weir::async_generator<test::item> {
      for (int i = 0; i < up_to.value; ++i) {
        co_await weir::sleep_for(1ms);
        co_yield test::item(i);
      }
    };
    auto yielded = co_await (from(test::items(4)) | transform_many(counting) | collect());
    CHECK(test::values_of(yielded) == std::vector{0, 0, 1, 0, 1, 2});
  });
  CHECK(test::counted::alive == 0);
}

TEST_CASE("transform_many: items that can only be moved, views, proxies, and nothing at all") {
  simulate([]() -> weir::task<> {
    auto pair_of = [](test::item i) {
      std::vector<test::item> both;
      both.emplace_back(i.value);
      both.emplace_back(-i.value);
      return both;
    };
    auto moved = co_await (from(test::items(3)) | transform_many(pair_of) | collect());
    CHECK(test::values_of(moved) == std::vector{0, 0, 1, -1, 2, -2});
    std::vector<int> kept{1, 2, 3};
    auto view = [&](int n) { return std::span<int>(kept).first(static_cast<std::size_t>(n)); };
    auto seen = co_await (from(test::numbers(4)) | transform_many(view) | collect());
    CHECK(seen == std::vector{1, 1, 2, 1, 2, 3});
    CHECK(kept == std::vector{1, 2, 3});
    auto bits = [](int n) { return std::vector<bool>(static_cast<std::size_t>(n), true); };
    auto all = co_await (from(test::numbers(3)) | transform_many(bits) | collect());
    CHECK(all == std::vector<bool>{true, true, true});
    auto nothing =
        co_await (from(test::numbers(9)) | transform_many([](int) { return std::vector<int>(); }) | collect());
    CHECK(nothing.empty());
  });
  CHECK(test::counted::alive == 0);
}

TEST_CASE("transform_many: counts, fails, and is left in the middle") {
  simulate([]() -> weir::task<> {
    weir::stage_counters parts{"parts"};
    auto yields = [](int n) -> weir::async_generator<int> {
      for (int i = 0; i < 10; ++i) {
        if (n == 2 && i == 3) throw std::runtime_error("in the middle");
        co_yield 10 * n + i;
      }
    };
    auto some = co_await (from(test::numbers(9)) | transform_many(yields, parts) | weir::take(15) | collect());
    CHECK(some == test::up_to(15));
    CHECK(parts.in() == 2);
    CHECK(parts.out() == 15);
    CHECK(parts.errors() == 0);
    CHECK(parts.busy() == 0);
    int seen = 0;
    auto how = co_await test::how_it_ends(from(test::numbers(9)) | transform_many(yields, parts) |
                                          weir::for_each([&](int) { ++seen; }));
    CHECK(how == "in the middle");
    CHECK(seen == 23);
    CHECK(parts.errors() == 1);
    auto refuses = [](int) -> std::vector<int> { throw std::runtime_error("at once"); };
    how = co_await test::how_it_ends(from(test::numbers(9)) | transform_many(refuses, parts) |
                                     weir::for_each([](int) {}));
    CHECK(how == "at once");
    CHECK(parts.errors() == 2);
    CHECK(parts.busy() == 0);
  });
}

TEST_CASE("unbatch: takes batches apart again") {
  simulate([]() -> weir::task<> {
    auto all = co_await (from(test::items(10)) | weir::batch(3) | weir::unbatch() | collect());
    CHECK(test::values_of(all) == test::up_to(10));
    auto make = [](int n) { return test::up_to(n); };
    auto workers = co_await (from(test::numbers(4)) | weir::transform(make, {.workers = 3, .ordered = true}) |
                             weir::unbatch() | collect());
    CHECK(workers == std::vector{0, 0, 1, 0, 1, 2});
  });
  CHECK(test::counted::alive == 0);
}
