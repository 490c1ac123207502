#include "support.hpp"

using test::simulate;
using weir::collect;
using weir::filter;
using weir::from;

namespace {

struct flagged {
  bool wanted = false;
  int value = 0;
  bool positive() const { return value > 0; }
};

bool is_even(int n) { return n % 2 == 0; }

weir::async_generator<std::vector<int>&> each_of(std::vector<std::vector<int>>& all) {
  for (auto& one : all) co_yield one;
}

}  // namespace

TEST_CASE("filter lets through what the predicate is true for, in order, and destroys the rest at once") {
  simulate([]() -> weir::task<> {
    int most_alive = 0;
    auto even = [&](const test::item& i) {
      most_alive = std::max(most_alive, test::counted::alive.load());
      return i.value % 2 == 0;
    };
    auto first = [](const test::item& i) { return i.value < 6; };
    auto all = co_await (from(test::items(100)) | filter(even) | filter(first) | collect());
    CHECK(test::values_of(all) == std::vector{0, 2, 4});
    CHECK(most_alive <= 3 + 2);  // those collected, the item, and its remains at the co_yield
    auto nothing = co_await (from(test::numbers(100)) | filter([](int) { return false; }) | collect());
    CHECK(nothing.empty());
  });
  CHECK(test::counted::alive == 0);
}

TEST_CASE("filter takes functions, members and generic lambdas, and hands them a const item") {
  simulate([]() -> weir::task<> {
    auto even = co_await (from(test::numbers(6)) | filter(is_even) | collect());
    CHECK(even == std::vector{0, 2, 4});
    std::vector<flagged> all{{true, 1}, {false, 2}, {true, -3}};
    auto wanted = co_await (from(all) | filter(&flagged::wanted) | filter(&flagged::positive) | collect());
    CHECK(wanted.size() == 1);
    auto is_const = [](auto&& i) { return std::is_const_v<std::remove_reference_t<decltype(i)>>; };
    auto constants = co_await (from(test::numbers(3)) | filter(is_const) | collect());
    CHECK(constants.size() == 3);
  });
}

TEST_CASE("filter runs in the task of the stage before it: item by item, with nothing read ahead") {
  simulate([]() -> weir::task<> {
    test::log seen;
    auto source = [](test::log& log) -> weir::async_generator<int> {
      for (int i = 0; i < 3; ++i) {
        log.push_back("made " + std::to_string(i));
        co_yield i;
      }
    };
    auto odd = [&](int i) {
      seen.push_back("asked " + std::to_string(i));
      return i % 2 == 1;
    };
    co_await (from(source(seen)) | filter(odd) |
              weir::for_each([&](int i) { seen.push_back("took " + std::to_string(i)); }));
    CHECK(seen == test::log{"made 0", "asked 0", "made 1", "asked 1", "took 1", "made 2", "asked 2"});
  });
}

TEST_CASE("filter: of a generator of references only what passes is copied") {
  simulate([]() -> weir::task<> {
    std::vector<std::vector<int>> all{{1, 2, 3}, {}, {4}};
    const int* refused = nullptr;
    auto full = [&](const std::vector<int>& v) {
      if (v.size() == 1) refused = v.data();
      return v.size() > 1;
    };
    auto passed = co_await (from(each_of(all)) | filter(full) | collect());
    CHECK(passed == std::vector<std::vector<int>>{{1, 2, 3}});
    CHECK(refused == all[2].data());  // the very object, no copy
    CHECK(all[0].size() == 3);
  });
}

TEST_CASE("filter: what the predicate throws ends the pipeline") {
  simulate([]() -> weir::task<> {
    int passed = 0;
    auto risky = [](const test::item& i) {
      if (i.value == 3) throw std::runtime_error("predicate");
      return true;
    };
    auto how = co_await test::how_it_ends(from(test::items(9)) | filter(risky) |
                                          weir::for_each([&](test::item) { ++passed; }));
    CHECK(how == "predicate");
    CHECK(passed == 3);
    CHECK(test::counted::alive == 0);
  });
}

TEST_CASE("filter counts what came, what went on and what it dropped") {
  simulate([]() -> weir::task<> {
    weir::stage_counters evens{"evens"};
    co_await (from(test::numbers(11)) | filter(is_even, evens) | collect());
    CHECK(evens.in() == 11);
    CHECK(evens.out() == 6);
    CHECK(evens.dropped() == 5);
    CHECK(evens.errors() == 0);
    CHECK(evens.busy() == 0);
    auto risky = [](int i) -> bool {
      if (i == 3) throw std::runtime_error("predicate");
      return true;
    };
    weir::stage_counters failing;
    co_await test::how_it_ends(from(test::numbers(9)) | filter(risky, failing) | weir::for_each([](int) {}));
    CHECK(failing.in() == 4);
    CHECK(failing.out() == 3);
    CHECK(failing.errors() == 1);
    CHECK(failing.busy() == 0);
  });
}
