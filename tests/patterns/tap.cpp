#include "support.hpp"

#include <weir/patterns/inspect.hpp>
#include <weir/patterns/scan.hpp>
#include <weir/patterns/tap.hpp>

using test::simulate;
using weir::collect;
using weir::from;

TEST_CASE("tap: shows each item and lets it go on, in order, also with a task") {
  simulate([]() -> weir::task<> {
    std::vector<int> seen;
    auto look = [&](const test::item& i) { seen.push_back(i.value); };
    auto all = co_await (from(test::items(4)) | weir::tap(look) | collect());
    CHECK(test::values_of(all) == test::up_to(4));
    CHECK(seen == test::up_to(4));
    auto slow = [&](const test::item& i) -> weir::task<> {
      co_await weir::sleep_for(1ms);
      seen.push_back(10 * i.value);
    };
    auto again = co_await (from(test::items(3)) | weir::tap(slow) | collect());
    CHECK(test::values_of(again) == test::up_to(3));
    CHECK(seen == std::vector{0, 1, 2, 3, 0, 10, 20});
    CHECK(weir::now() == test::at(3ms));
    auto fails = [](int n) {
      if (n == 2) throw std::runtime_error("two");
    };
    auto how = co_await test::how_it_ends(from(test::numbers(5)) | weir::tap(fails) | weir::for_each([](int) {}));
    CHECK(how == "two");
  });
  CHECK(test::counted::alive == 0);
}

TEST_CASE("inspect: counts what goes by, at any place") {
  simulate([]() -> weir::task<> {
    weir::stage_counters before{"before"};
    weir::stage_counters behind{"behind"};
    auto all = co_await (from(test::items(10)) | weir::inspect(before) |
                         weir::filter([](const test::item& i) { return i.value % 2 == 0; }) | weir::inspect(behind) |
                         collect());
    CHECK(all.size() == 5);
    CHECK(before.in() == 10);
    CHECK(before.out() == 10);
    CHECK(behind.out() == 5);
    CHECK(behind.dropped() == 0);
  });
}

TEST_CASE("scan: the state after each item; each pipeline begins anew") {
  simulate([]() -> weir::task<> {
    const auto sums = weir::scan(0L, [](long sum, int n) { return sum + n; });
    for (int round = 0; round < 2; ++round) {
      auto all = co_await (from(test::numbers(5)) | sums | collect());
      CHECK(all == std::vector<long>{0, 1, 3, 6, 10});
    }
    auto text = [](std::string so_far, const test::item& i) { return so_far + std::to_string(i.value); };
    auto words = co_await (from(test::items(3)) | weir::scan(std::string("n"), text) | collect());
    CHECK(words == std::vector<std::string>{"n0", "n01", "n012"});
    auto none = co_await (from(test::numbers(0)) | sums | collect());
    CHECK(none.empty());
  });
}
