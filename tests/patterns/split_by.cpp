#include <map>

#include "support.hpp"

#include <weir/patterns/split_by.hpp>
#include <weir/patterns/take.hpp>

using test::simulate;
using weir::collect;
using weir::for_each;
using weir::from;
using weir::split_by;
using weir::transform;

namespace {

int last_digit(int n) { return n % 10; }

}  // namespace

TEST_CASE("split_by: order is kept within a key, under any choice of who runs, and every item comes out once") {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    simulate(
        [seed]() -> weir::task<> {
          test::dice dice(seed);
          auto work = [&](test::item i) -> weir::task<test::item> {
            co_await weir::sleep_for(dice.roll(5) * 1us);
            co_return std::move(i);
          };
          auto key = [](const test::item& i) { return i.value % 10; };
          std::map<int, std::vector<int>> by_key;
          auto note = [&](test::item i) { by_key[i.value % 10].push_back(i.value); };
          const unsigned partitions = 1 + dice.roll(5);
          weir::stage_counters split;
          co_await (
              from(test::items(80)) |
              split_by(key, transform(work), {.partitions = partitions, .buffer = dice.roll(4), .counters = &split}) |
              for_each(note));
          CHECK(by_key.size() == 10);
          for (const auto& [k, values] : by_key) {
            CHECK(values.size() == 8);
            CHECK(std::is_sorted(values.begin(), values.end()));
          }
          CHECK(split.in() == 80);
          CHECK(split.out() == 80);
        },
        seed);
    CHECK(test::counted::alive == 0);
  }
}

TEST_CASE("split_by: partitions work at the same time, each on one item after the other") {
  simulate([]() -> weir::task<> {
    int busy = 0;
    int most = 0;
    auto work = [&](int n) -> weir::task<int> {
      most = std::max(most, ++busy);
      co_await weir::sleep_for(10ms);
      --busy;
      co_return std::move(n);
    };
    auto all =
        co_await (from(test::numbers(40)) | split_by(last_digit, transform(work), {.partitions = 5}) | collect());
    CHECK(test::sorted(all) == test::up_to(40));
    CHECK(most == 5);
    CHECK(weir::now() == test::at(80ms));
  });
}

TEST_CASE("split_by: joined stages, stages of one's own, and ends of ends with their values") {
  simulate([]() -> weir::task<> {
    auto doubled = [](weir::async_generator<int> in) -> weir::async_generator<int> {
      while (auto n = co_await in.next()) {
        co_yield *n;
        co_yield *n;
      }
    };
    auto own = co_await (from(test::numbers(6)) | split_by(last_digit, doubled, {.partitions = 3}) | collect());
    CHECK(test::sorted(own) == std::vector{0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5});
    auto halves = transform([](int n) { return n / 2; }) | weir::batch(2);
    auto joined = co_await (from(test::numbers(6)) | split_by(last_digit, halves, {.partitions = 1}) | collect());
    CHECK(joined == std::vector<std::vector<int>>{{0, 0}, {1, 1}, {2, 2}});
    auto parts = co_await (from(test::numbers(20)) | split_by(last_digit, collect(), {.partitions = 2}));
    REQUIRE(parts.size() == 2);
    std::vector<int> together = parts[0];
    together.insert(together.end(), parts[1].begin(), parts[1].end());
    CHECK(test::sorted(together) == test::up_to(20));
    int seen = 0;
    co_await (from(test::numbers(20)) | split_by(last_digit, for_each([&](int) { ++seen; })));
    CHECK(seen == 20);
  });
}

TEST_CASE("split_by: a failure ends all partitions, a stop too; one that has enough does not hold up the others") {
  simulate([]() -> weir::task<> {
    auto fails = [](test::item i) -> weir::task<test::item> {
      co_await weir::sleep_for(1ms);
      if (i.value == 7) throw std::runtime_error("seven");
      co_return std::move(i);
    };
    auto key = [](const test::item& i) { return i.value; };
    auto how = co_await test::how_it_ends(from(test::items(100)) | split_by(key, transform(fails)) |
                                          for_each([](test::item) {}));
    CHECK(how == "seven");
    how = co_await test::how_it_ends(from(test::items(100)) |
                                     split_by(key, transform(fails) | for_each([](test::item) {})));
    CHECK(how == "seven");
    CHECK(test::counted::alive == 0);
    weir::stage_counters split;
    auto mostly_0 = [](const test::item& i) { return i.value < 100 ? 0 : i.value % 4; };
    auto some =
        co_await (from(test::items(104)) |
                  split_by(mostly_0, weir::take(3), {.partitions = 4, .buffer = 1, .counters = &split}) | collect());
    CHECK(some.size() == 3 + 3);
    CHECK(split.in() == 104);
    CHECK(split.out() + split.dropped() == 104);
    CHECK(split.dropped() >= 101 - 3 - 2);
    auto ended = co_await (from(test::items(1'000'000)) | split_by(key, weir::take(3)) | collect());
    CHECK(ended.size() == 12);  // when all have enough, reading ends
    CHECK_THROWS_AS(split_by(key, weir::take(3), {.partitions = 0}), std::invalid_argument);
  });
  CHECK(test::counted::alive == 0);
}

TEST_CASE("split_by: a stalled end stops the reading; no more is under way than there is room (P12)") {
  simulate([]() -> weir::task<> {
    int made = 0;
    auto key = [](const test::item& i) { return i.value; };
    auto same = [](test::item i) { return i; };
    auto stalls = [](test::item) -> weir::task<> { co_await test::never(); };
    auto ended = co_await weir::as_result(
        weir::with_timeout(1s, from(test::counted_items(made, 10'000)) |
                                   split_by(key, transform(same), {.partitions = 3, .buffer = 5}) | for_each(stalls)));
    CHECK(ended.error() == std::errc::timed_out);
    CHECK(made <= 3 * 5 + 5 + 3 + 3);  // queues, the room behind, hands
  });
}

TEST_CASE("split_by: on several threads") {
  auto main = []() -> weir::task<> {
    const int n = test::scaled(20'000, 3'000);
    auto work = [](int i) -> weir::task<int> {
      if (i % 16 == 0) co_await weir::yield();
      co_return std::move(i);
    };
    std::vector<int> latest(10, -1);
    int seen = 0;
    auto check = [&](int i) {
      CHECK(latest[static_cast<std::size_t>(i % 10)] < i);
      latest[static_cast<std::size_t>(i % 10)] = i;
      ++seen;
    };
    co_await (from(test::numbers(n)) | split_by(last_digit, transform(work), {.partitions = 4}) | for_each(check));
    CHECK(seen == n);
  };
  weir::run(main(), {.workers = 2});
}
