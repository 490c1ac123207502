#include <functional>

#include "support.hpp"

#include <weir/patterns/broadcast_to.hpp>
#include <weir/patterns/reduce.hpp>
#include <weir/patterns/take.hpp>

using test::simulate;
using weir::broadcast_to;
using weir::collect;
using weir::for_each;
using weir::from;
using weir::reduce;
using weir::transform;

// Three consumers that receive from one channel see a third of the trades each; with a branch each they see all.
TEST_CASE("broadcast_to: dispatcher, average and anomaly check see each of 9,233 trades (D01)") {
  simulate([]() -> weir::task<> {
    constexpr int trades = 9233;
    auto dispatched = collect();
    auto average = reduce(0L, [](long sum, int price) { return sum + price; });
    int anomalies = 0;
    int checked = 0;
    auto check = [&](int price) -> weir::task<> {
      co_await weir::sleep_for(1us);
      ++checked;
      if (price % 1000 == 999) ++anomalies;
    };
    auto all = co_await (from(test::numbers(trades)) | broadcast_to(dispatched, average, for_each(check)));
    CHECK(std::get<0>(all) == test::up_to(trades));
    CHECK(std::get<1>(all) == static_cast<long>(trades) * (trades - 1) / 2);
    CHECK(checked == trades);
    CHECK(anomalies == 9);
  });
}

TEST_CASE("broadcast_to: stages, whose items are merged") {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    simulate(
        [seed]() -> weir::task<> {
          test::dice dice(seed);
          auto slow = [&](int n) -> weir::task<int> {
            co_await weir::sleep_for(dice.roll(4) * 1us);
            co_return 100 + n;
          };
          auto even = weir::filter([](int n) { return n % 2 == 0; });
          auto all =
              co_await (from(test::numbers(20)) | broadcast_to(even, transform(slow, {.workers = 2})) | collect());
          std::vector<int> expected;
          for (int n = 0; n < 20; n += 2) expected.push_back(n);
          for (int n = 0; n < 20; ++n) expected.push_back(100 + n);
          CHECK(test::sorted(all) == expected);
        },
        seed);
  }
}

TEST_CASE("broadcast_to: a branch that ends by itself does not hold up the others; when all have, reading ends") {
  simulate([]() -> weir::task<> {
    const auto few = weir::take(3) | collect();
    auto both = co_await (from(test::numbers(1000)) | broadcast_to(few, collect(), few));
    CHECK(std::get<0>(both) == test::up_to(3));
    CHECK(std::get<1>(both) == test::up_to(1000));
    CHECK(std::get<2>(both) == test::up_to(3));
    auto endless = []() -> weir::async_generator<int> {
      for (int i = 0;; ++i) {
        co_await weir::sleep_for(1ms);
        co_yield i;
      }
    };
    auto ends = co_await (from(endless()) | broadcast_to(few, weir::take(5) | collect()));
    CHECK(std::get<1>(ends) == test::up_to(5));
    auto stages = co_await (from(endless()) | broadcast_to(weir::take(2), weir::take(4)) | collect());
    CHECK(test::sorted(stages) == std::vector{0, 0, 1, 1, 2, 3});
  });
}

TEST_CASE("broadcast_to: a failure of one branch ends all; a slow one slows the others down, and nothing is dropped") {
  simulate([]() -> weir::task<> {
    auto fails = [](int n) {
      if (n == 5) throw std::runtime_error("five");
    };
    auto stalls = [](int) -> weir::task<> { co_await test::never(); };
    auto both = broadcast_to(for_each(stalls), for_each(fails));
    auto failed = co_await weir::as_result(from(test::numbers(100)) | both);
    CHECK(test::unobserved::what(failed.exception()) == "five");
    int made = 0;
    auto counted = [&]() -> weir::async_generator<int> {
      for (int i = 0; i < 10'000; ++i) {
        ++made;
        co_yield i;
      }
    };
    int seen = 0;
    weir::stage_counters sent;
    auto quick = [&](int) { ++seen; };
    auto ended = co_await weir::as_result(weir::with_timeout(
        1s, from(counted()) | broadcast_to({.buffer = 10, .counters = &sent}, for_each(stalls), for_each(quick))));
    CHECK(ended.error() == std::errc::timed_out);
    CHECK(made == 12);  // one in the hands of the branch that stalls, ten wait for it, one more is to be sent
    CHECK(sent.in() == 12);
    CHECK(sent.out() == 11);
    CHECK(sent.blocked() == 0);
    CHECK(seen >= made - 2);
  });
}

TEST_CASE("broadcast_to: cancelled at any moment it leaves nothing") {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    simulate(
        [seed]() -> weir::task<> {
          test::dice dice(seed);
          struct copied {
            int value;
            test::counted life;
          };
          auto source = [&]() -> weir::async_generator<copied> {
            for (int i = 0; i < 100; ++i) {
              copied one{i, {}};
              co_yield std::move(one);
            }
          };
          auto work = [&](copied c) -> weir::task<copied> {
            co_await weir::sleep_for(dice.roll(3) * 1us);
            co_return std::move(c);
          };
          auto branch = transform(work, {.workers = 2, .buffer = 1});
          auto whole = from(source()) | broadcast_to(branch, transform(work)) | for_each([](const copied&) {});
          const auto ended =
              co_await weir::as_result(weir::with_timeout(std::chrono::microseconds(dice.roll(90)), std::move(whole)));
          CHECK((ended.has_value() || ended.error() == std::errc::timed_out));
          CHECK(test::counted::alive == 0);
        },
        seed);
  }
}

TEST_CASE("broadcast_to: on several threads every branch sees every item in order") {
  auto main = []() -> weir::task<> {
    const int n = test::scaled(20'000, 3'000);
    auto both = co_await (from(test::numbers(n)) | broadcast_to(collect(), collect(), reduce(0L, std::plus<>())));
    CHECK(std::get<0>(both) == test::up_to(n));
    CHECK(std::get<1>(both) == test::up_to(n));
    CHECK(std::get<2>(both) == static_cast<long>(n) * (n - 1) / 2);
  };
  weir::run(main(), {.workers = 2});
}
