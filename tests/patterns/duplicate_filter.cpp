#include "calls.hpp"

#include <weir/patterns/duplicate_filter.hpp>

using test::simulate;

TEST_CASE("duplicate_filter: a key is seen once, until it expires or is forgotten (S178)") {
  simulate([]() -> weir::task<> {
    weir::duplicate_filter<std::string> seen({.keep = 1h, .most = 3});
    CHECK(seen.first("a"));
    CHECK(!seen.first("a"));
    co_await weir::sleep_for(30min);
    CHECK(!seen.first("a"));  // and that does not prolong it
    CHECK(seen.first("b"));
    co_await weir::sleep_for(30min);
    CHECK(seen.first("a"));
    CHECK(!seen.first("b"));
    seen.forget("b");
    seen.forget("nobody");
    CHECK(seen.first("b"));
    CHECK(seen.first("c"));
    CHECK(seen.first("d"));  // a, the oldest, gives way
    CHECK(seen.size() == 3);
    CHECK(seen.first("a"));
    CHECK(!seen.first("d"));
    CHECK(seen.suppressed() == 4);
  });
  CHECK_THROWS_AS(weir::duplicate_filter<int>({.keep = 0ns}), std::invalid_argument);
  CHECK_THROWS_AS(weir::duplicate_filter<int>({.most = 0}), std::invalid_argument);
}

TEST_CASE("duplicate_filter: of several that come at once on several workers, one is the first (S178)") {
  weir::duplicate_filter<int> seen;
  std::atomic<int> first{0};
  weir::runtime world({.workers = 2});
  auto main = [&]() -> weir::task<> {
    auto caller = [&]() -> weir::task<> {
      for (int n = 0; n < 1000; ++n) {
        if (seen.first(n)) ++first;
        if (n % 16 == 0) co_await weir::yield();
      }
    };
    auto all = [&](weir::task_group& group) {
      for (int i = 0; i < 8; ++i) group.spawn(caller);
    };
    co_await test::together(all);
  };
  world.block_on(main());
  CHECK(first == 1000);
  CHECK(seen.suppressed() == 7000);
}
