#include "support.hpp"

#include <weir/patterns/zip.hpp>

using test::simulate;
using weir::collect;
using weir::from;
using weir::zip;

TEST_CASE("zip: the first of each, then the second of each, until one of them ends") {
  simulate([]() -> weir::task<> {
    const std::vector<std::string> names{"a", "b", "c"};
    auto pairs = co_await (zip(from(names), from(test::numbers(10))) | collect());
    CHECK(pairs == std::vector<std::tuple<std::string, int>>{{"a", 0}, {"b", 1}, {"c", 2}});
    auto twice = [](int n) { return 2 * n; };
    auto triples = co_await (zip(from(test::numbers(2)), from(names),
                                 from(test::numbers(5)) | weir::transform(twice, {.workers = 2, .ordered = true})) |
                             collect());
    CHECK(triples == std::vector<std::tuple<int, std::string, int>>{{0, "a", 0}, {1, "b", 2}});
    auto none = co_await (zip(from(test::numbers(3)), from(test::numbers(0))) | collect());
    CHECK(none.empty());
  });
}

TEST_CASE("zip: its counters tell how many tuples went on, and what found no others") {
  simulate([]() -> weir::task<> {
    weir::stage_counters zipped{"zip"};
    auto all = co_await (
        zip({.counters = &zipped}, from(test::numbers(5)), from(test::numbers(3)), from(test::numbers(4))) | collect());
    CHECK(all.size() == 3);
    CHECK(zipped.in() == 4);
    CHECK(zipped.out() == 3);
    CHECK(zipped.dropped() == 1);
  });
}

TEST_CASE("zip: items that can only be moved; one that ends or fails leaves nothing of the others") {
  simulate([]() -> weir::task<> {
    int sum = 0;
    auto add = [&](std::tuple<test::item, test::item> both) {
      sum += std::get<0>(both).value * std::get<1>(both).value;
    };
    co_await (zip(from(test::items(4)), from(test::items(9))) | weir::for_each(add));
    CHECK(sum == 0 + 1 + 4 + 9);
    CHECK(test::counted::alive == 0);
    auto how = co_await test::how_it_ends(zip(from(test::items(9)), from(test::items_then_failure(2, "second"))) |
                                          weir::for_each(add));
    CHECK(how == "second");
    CHECK(test::counted::alive == 0);
  });
}
