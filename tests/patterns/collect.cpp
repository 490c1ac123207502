#include "support.hpp"

using test::simulate;
using weir::collect;
using weir::from;
using weir::transform;

TEST_CASE("collect: all items, in the order in which they came") {
  simulate([]() -> weir::task<> {
    auto all = co_await (from(test::items(200)) | collect());
    CHECK(test::values_of(all) == test::up_to(200));
    CHECK(test::counted::alive == 200);
  });
  CHECK(test::counted::alive == 0);
}

TEST_CASE("collect: a failure gives no part of the items") {
  simulate([]() -> weir::task<> {
    auto ended = co_await weir::as_result(from(test::items_then_failure(5, "source")) | collect());
    CHECK(!ended);
    CHECK(test::unobserved::what(ended.exception()) == "source");
    CHECK(test::counted::alive == 0);
  });
}

TEST_CASE("collect: cancelled, it destroys what it had") {
  simulate([]() -> weir::task<> {
    auto slowly = [](int n) -> weir::task<test::item> {
      co_await weir::sleep_for(1ms);
      co_return test::item(n);
    };
    auto pipeline = from(test::numbers(100)) | transform(slowly) | collect();
    auto ended = co_await weir::as_result(weir::with_timeout(50ms, std::move(pipeline)));
    CHECK(ended.error() == std::errc::timed_out);
    CHECK(test::counted::alive == 0);
  });
}

TEST_CASE("collect as a named stage, for several pipelines") {
  simulate([]() -> weir::task<> {
    const auto all = collect();
    auto one = co_await (from(test::numbers(3)) | all);
    auto other = co_await (from(test::numbers(4)) | all);
    CHECK(one == test::up_to(3));
    CHECK(other == test::up_to(4));
  });
}
