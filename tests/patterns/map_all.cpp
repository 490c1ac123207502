#include <ranges>

#include "support.hpp"

#include <weir/patterns/map_all.hpp>

using test::simulate;
using weir::map_all;

namespace {

/// A call that takes its time; the greatest number of them at once.
class calls {
 public:
  weir::task<int> operator()(int n) {
    most = std::max(most, ++now_);
    co_await weir::sleep_for((1 + n % 7) * 1ms);
    --now_;
    co_return 3 * n;
  }
  int most = 0;

 private:
  int now_ = 0;
};

}  // namespace

TEST_CASE("map_all: each result in the place of its item, whatever was ready first (S53)") {
  simulate([]() -> weir::task<> {
    const auto numbers = test::up_to(100);
    for (const unsigned workers : {0u, 1u, 7u, 1000u}) {
      calls call;
      auto all = co_await map_all(numbers, std::ref(call), {.workers = workers});
      REQUIRE(all.size() == 100);
      for (int i = 0; i < 100; ++i) CHECK(all[static_cast<std::size_t>(i)] == 3 * i);
      CHECK(call.most == static_cast<int>(std::clamp(workers, 1u, 100u)));
    }
    auto plain = co_await map_all(numbers, [](int n) { return std::to_string(n); });
    CHECK(plain[42] == "42");
    auto none = co_await map_all(std::vector<int>(), [](int n) { return n; });
    CHECK(none.empty());
  });
}

TEST_CASE("map_all: a parallel for, when the function makes nothing, over what is lent (S52)") {
  simulate([]() -> weir::task<> {
    std::vector<int> numbers = test::up_to(50);
    auto slowly = [](int& n) -> weir::task<> {
      co_await weir::sleep_for(10ms);
      n *= 2;
    };
    weir::stage_counters doubled;
    co_await map_all(numbers, slowly, {.workers = 10, .counters = &doubled});
    for (int i = 0; i < 50; ++i) CHECK(numbers[static_cast<std::size_t>(i)] == 2 * i);
    CHECK(weir::now() == test::at(50ms));
    CHECK(doubled.out() == 50);
  });
}

TEST_CASE("map_all: a range that is given away, of items that can only be moved; a view") {
  simulate([]() -> weir::task<> {
    std::vector<test::item> items;
    for (int i = 0; i < 5; ++i) items.emplace_back(i);
    auto same = [](test::item i) -> weir::task<test::item> {
      co_await weir::yield();
      co_return std::move(i);
    };
    auto all = co_await map_all(std::move(items), same);
    CHECK(test::values_of(all) == test::up_to(5));
    auto squares = co_await map_all(std::views::iota(0, 5), [](int n) { return n * n; });
    CHECK(squares == std::vector{0, 1, 4, 9, 16});
  });
  CHECK(test::counted::alive == 0);
}

TEST_CASE("map_all: the first failure stops the others and is thrown; a result for each where each may fail") {
  simulate([]() -> weir::task<> {
    auto fails = [](int n) -> weir::task<int> {
      co_await weir::sleep_for(n * 1ms);
      if (n % 10 == 3) throw std::runtime_error("three");
      co_return std::move(n);
    };
    const auto numbers = test::up_to(20);
    auto ended = co_await weir::as_result(map_all(numbers, fails, {.workers = 20}));
    CHECK(test::unobserved::what(ended.exception()) == "three");
    CHECK(weir::now() == test::at(3ms));
    auto each = [&](int n) -> weir::task<weir::result<int>> { co_return co_await weir::as_result(fails(n)); };
    auto all = co_await map_all(numbers, each, {.workers = 20});
    int good = 0;
    for (const auto& one : all) good += one.has_value() ? 1 : 0;
    CHECK(good == 18);
    CHECK(*all[4] == 4);
    CHECK(test::unobserved::what(all[13].exception()) == "three");
  });
}

TEST_CASE("map_all: 100 calls, 1,000 addresses, 10,000 images, each with a bound (S175, P25)") {
  simulate([]() -> weir::task<> {
    struct kind {
      int number;
      unsigned bound;
      weir::duration each;
    };
    for (const kind k : {kind{100, 10, 100ms}, kind{1'000, 50, 20ms}, kind{10'000, 8, 5ms}}) {
      const auto begin = weir::now();
      weir::stage_counters done;
      std::uint64_t peak = 0;
      auto work = [&](int n) -> weir::task<int> {
        peak = std::max(peak, done.busy());
        co_await weir::sleep_for(k.each);
        co_return std::move(n);
      };
      auto all = co_await map_all(test::up_to(k.number), work, {.workers = k.bound, .counters = &done});
      CHECK(all == test::up_to(k.number));
      CHECK(peak == k.bound);
      CHECK(weir::now() - begin == k.number / static_cast<int>(k.bound) * k.each);
    }
  });
}

// The seed's program reads its "peak" when everything is over, and gets what is left then.
TEST_CASE("map_all: the peak of calls at work is seen while they are, not afterwards (D21)") {
  simulate([]() -> weir::task<> {
    weir::stage_counters done;
    std::uint64_t peak = 0;
    auto work = [](int) -> weir::task<> { co_await weir::sleep_for(10ms); };
    auto all = [&]() -> weir::task<> { co_await map_all(test::up_to(100), work, {.workers = 5, .counters = &done}); };
    auto sample = [&]() -> weir::task<> {
      for (;;) {
        co_await weir::sleep_for(3ms);
        peak = std::max(peak, done.busy());
      }
    };
    co_await weir::when_any(all(), sample());
    CHECK(peak == 5);
    CHECK(done.busy() == 0);
  });
}

TEST_CASE("map_all: cancelled at any moment, under any choice of who runs") {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    simulate(
        [seed]() -> weir::task<> {
          test::dice dice(seed);
          auto work = [&](int n) -> weir::task<test::item> {
            co_await weir::sleep_for(dice.roll(5) * 1us);
            co_return test::item(n);
          };
          auto all = weir::with_timeout(std::chrono::microseconds(dice.roll(50)),
                                        map_all(test::up_to(30), work, {.workers = 4}));
          auto ended = co_await weir::as_result(std::move(all));
          if (ended) CHECK(test::values_of(*ended) == test::up_to(30));
          if (!ended) CHECK(ended.error() == std::errc::timed_out);
        },
        seed);
    CHECK(test::counted::alive == 0);
  }
}

TEST_CASE("map_all: on several threads; when it has completed every count is exact, without a pause (D13)") {
  auto main = []() -> weir::task<> {
    for (int round = 0; round < 20; ++round) {
      const int n = test::scaled(2'000, 300);
      weir::stage_counters done;
      std::vector<int> seen(static_cast<std::size_t>(n));
      auto work = [&](int i) -> weir::task<int> {
        if (i % 8 == 0) co_await weir::yield();
        seen[static_cast<std::size_t>(i)] += 1;
        co_return i + 1;
      };
      auto all = co_await map_all(test::up_to(n), work, {.workers = 8, .counters = &done});
      CHECK(done.out() == static_cast<std::uint64_t>(n));
      CHECK(std::count(seen.begin(), seen.end(), 1) == n);
      CHECK(all.back() == n);
    }
  };
  weir::run(main(), {.workers = 2});
}
