#include "support.hpp"

#include <weir/patterns/drop.hpp>
#include <weir/patterns/take.hpp>
#include <weir/patterns/take_while.hpp>

using test::simulate;
using weir::collect;
using weir::drop;
using weir::from;
using weir::take;
using weir::take_while;
using weir::transform;

TEST_CASE("take: so many items and no more, of which no more are read") {
  simulate([]() -> weir::task<> {
    for (const int n : {0, 1, 3, 10, 20}) {
      int made = 0;
      auto some = co_await (from(test::counted_items(made, 10)) | take(static_cast<std::uint64_t>(n)) | collect());
      CHECK(test::values_of(some) == test::up_to(std::min(n, 10)));
      CHECK(made == std::min(n, 10));
    }
    auto filtered =
        co_await (from(test::numbers(100)) | weir::filter([](int n) { return n % 10 == 9; }) | take(3) | collect());
    CHECK(filtered == std::vector{9, 19, 29});
  });
  CHECK(test::counted::alive == 0);
}

TEST_CASE("take: a source that would wait for ever ends with the last item that is wanted, workers too") {
  simulate([]() -> weir::task<> {
    auto endless = []() -> weir::async_generator<test::item> {
      for (int i = 0; i < 3; ++i) co_yield test::item(i);
      co_await test::never();
    };
    auto same = [](test::item i) { return i; };
    auto plain = co_await (from(endless()) | take(3) | collect());
    CHECK(test::values_of(plain) == test::up_to(3));
    auto workers = co_await (from(endless()) | transform(same, {.workers = 4, .ordered = true}) | take(2) | collect());
    CHECK(test::values_of(workers) == test::up_to(2));
    CHECK(weir::now() == test::at(0s));
  });
  CHECK(test::counted::alive == 0);
}

// Go's stages go on to send where nobody reads any more, and stay for ever.
TEST_CASE("take: stages before one that stops leave nothing behind, under any choice of who runs (D11)") {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    simulate(
        [seed]() -> weir::task<> {
          test::dice dice(seed);
          auto work = [&](test::item i) -> weir::task<test::item> {
            co_await weir::sleep_for(dice.roll(3) * 1us);
            co_return std::move(i);
          };
          const auto wanted = dice.roll(12);
          auto some = co_await (from(test::items(40)) | transform(work, {.workers = 3, .buffer = 2}) |
                                transform(work, {.workers = 2, .buffer = 1}) | take(wanted) | collect());
          CHECK(some.size() == wanted);
          some.clear();
          CHECK(test::counted::alive == 0);
        },
        seed);
  }
}

TEST_CASE("take_while: up to the first item that is not wanted, which is read and destroyed") {
  simulate([]() -> weir::task<> {
    int made = 0;
    auto small = [](const test::item& i) { return i.value < 4; };
    auto some = co_await (from(test::counted_items(made, 10)) | take_while(small) | collect());
    CHECK(test::values_of(some) == test::up_to(4));
    CHECK(made == 5);
    auto none = co_await (from(test::numbers(3)) | take_while([](int n) { return n > 0; }) | collect());
    CHECK(none.empty());
    auto all = co_await (from(test::numbers(3)) | take_while([](int) { return true; }) | collect());
    CHECK(all == test::up_to(3));
    auto fails = [](int n) {
      if (n == 1) throw std::runtime_error("one");
      return true;
    };
    auto how = co_await test::how_it_ends(from(test::numbers(3)) | take_while(fails) | weir::for_each([](int) {}));
    CHECK(how == "one");
  });
  CHECK(test::counted::alive == 0);
}

TEST_CASE("drop: the first items are destroyed; as a named stage it begins anew each time") {
  simulate([]() -> weir::task<> {
    const auto two = drop(2);
    for (int round = 0; round < 2; ++round) {
      auto rest = co_await (from(test::items(5)) | two | collect());
      CHECK(test::values_of(rest) == std::vector{2, 3, 4});
    }
    auto none = co_await (from(test::numbers(1)) | two | collect());
    CHECK(none.empty());
    auto page = co_await (from(test::numbers(100)) | drop(20) | take(3) | collect());
    CHECK(page == std::vector{20, 21, 22});
  });
}
