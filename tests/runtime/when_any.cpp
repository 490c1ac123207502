#include <algorithm>
#include <deque>
#include <stdexcept>
#include <string>

#include "support.hpp"

using test::simulate;

TEST_CASE("when_any completes with the first value and tells whose it was") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    auto first =
        co_await weir::when_any(test::stuck(seen, "a"), test::after(1ms, 5), test::after(2ms, std::string("x")));
    static_assert(std::is_same_v<decltype(first), weir::indexed_result<void, int, std::string>>);
    CHECK(first.index() == 1);
    CHECK(first.get<1>() == 5);
    CHECK_THROWS_AS(first.get<2>(), std::bad_variant_access);
    CHECK(weir::now() == weir::time_point() + 1ms);
    auto nothing = co_await weir::when_any(test::nap(1ms), test::stuck(seen, "b"));
    CHECK(nothing.index() == 0);
    nothing.get<0>();
  });
  CHECK(seen == test::log{"a!", "b!"});
}

TEST_CASE("when_any: move-only values, references, and a single operation") {
  simulate([]() -> weir::task<> {
    auto moved = co_await weir::when_any(test::after(1ms, std::make_unique<int>(3)), test::nap(1h));
    std::unique_ptr<int> taken = std::move(moved).get<0>();
    CHECK(*taken == 3);
    int x = 0;
    auto reference = [&]() -> weir::task<int&> { co_return x; };
    auto r = co_await weir::when_any(reference());
    r.get<0>() = 4;
    CHECK(x == 4);
  });
}

TEST_CASE("when_any of a range tells which was first, and gives its value") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    std::vector<weir::task<int>> tasks;
    auto guarded = [&](int i) -> weir::task<int> {
      const test::mark here(seen, std::to_string(i));
      co_await weir::sleep_for(std::chrono::milliseconds(10 - i));
      co_return i;
    };
    for (int i = 0; i < 5; ++i) tasks.push_back(guarded(i));
    const auto first = co_await weir::when_any(std::move(tasks));
    static_assert(std::is_same_v<decltype(first), const weir::first_result<int>>);
    CHECK(first.index == 4);
    CHECK(first.value == 4);
    CHECK(weir::now() == weir::time_point() + 6ms);
    CHECK(seen.size() == 5);

    std::deque<weir::task<>> naps;
    naps.push_back(test::nap(1h));
    naps.push_back(test::nap(1ms));
    const auto nothing = co_await weir::when_any(std::move(naps));
    CHECK(nothing.index == 1);

    int x = 0;
    auto reference = [&]() -> weir::task<int&> { co_return x; };
    std::vector<weir::task<int&>> references;
    references.push_back(reference());
    const auto same = co_await weir::when_any(std::move(references));
    same.value = 7;
    CHECK(x == 7);

    std::vector<weir::task<std::unique_ptr<int>>> owning;
    owning.push_back(test::after(2ms, std::make_unique<int>(1)));
    owning.push_back(test::after(1ms, std::make_unique<int>(2)));
    auto owned = co_await weir::when_any(std::move(owning));
    const std::unique_ptr<int> mine = std::move(owned.value);
    CHECK(*mine == 2);

    CHECK_THROWS_AS(static_cast<void>(weir::when_any(std::vector<weir::task<>>())), std::invalid_argument);
  });
}

TEST_CASE("when_any of a range: the first failure decides, a stop stops and joins all, late failures are reported") {
  test::unobserved errors;
  test::log seen;
  test::simulate_reporting([&]() -> weir::task<> {
    auto late = []() -> weir::task<int> {
      co_await weir::shielded(weir::sleep_for(5ms));
      throw std::runtime_error("late");
    };
    std::vector<weir::task<int>> failing;
    failing.push_back(late());
    failing.push_back(test::fail_after(1ms, "first"));
    const auto failed = co_await weir::as_result(weir::when_any(std::move(failing)));
    CHECK(test::unobserved::what(failed.exception()) == "first");
    std::vector<weir::task<>> waiting;
    waiting.push_back(test::stuck(seen, "a"));
    waiting.push_back(test::stuck(seen, "b"));
    const auto stopped = co_await weir::as_result(weir::with_timeout(1ms, weir::when_any(std::move(waiting))));
    CHECK(stopped.error() == std::errc::timed_out);
    std::sort(seen.begin(), seen.end());
    CHECK(seen == test::log{"a!", "b!"});
    std::vector<weir::task<>> never;
    never.push_back(test::nap(1h));
    {
      const auto unawaited = weir::when_any(std::move(never));
      static_cast<void>(unawaited);
    }
  });
  CHECK(errors.take() == test::log{"late"});
}

TEST_CASE("the first to end decides, even by an exception") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    const auto r = co_await weir::as_result(
        weir::when_any(test::stuck(seen, "a"), test::fail_after(1ms, "first"), test::after(2ms, 1)));
    CHECK(test::unobserved::what(r.exception()) == "first");
  });
  CHECK(seen == test::log{"a!"});
}

TEST_CASE("a loser's late failure goes to on_error once; its late value is destroyed") {
  test::unobserved errors;
  test::simulate_reporting([]() -> weir::task<> {
    auto late = []() -> weir::task<> {
      co_await weir::shielded(weir::sleep_for(5ms));
      throw std::runtime_error("late");
    };
    auto late_value = []() -> weir::task<std::unique_ptr<test::counted>> {
      co_await weir::shielded(weir::sleep_for(5ms));
      co_return std::make_unique<test::counted>();
    };
    const auto first = co_await weir::when_any(late(), late_value(), test::after(1ms, 1));
    CHECK(first.index() == 2);
    CHECK(test::counted::alive == 0);
    // A failed winner and a failed loser: the one is thrown, the other reported.
    const auto failed = co_await weir::as_result(weir::when_any(late(), test::fail_after(1ms, "winner")));
    CHECK(test::unobserved::what(failed.exception()) == "winner");
  });
  CHECK(errors.take() == test::log{"late", "late"});
}

TEST_CASE("when_any stopped from outside stops and joins all; what ends by itself meanwhile is delivered") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    const auto r = co_await weir::as_result(
        weir::with_timeout(1ms, weir::when_any(test::stuck(seen, "a"), test::stuck(seen, "b"))));
    CHECK(r.error() == std::errc::timed_out);
    CHECK(seen == test::log{"a!", "b!"});
    auto late = co_await weir::as_result(
        weir::with_timeout(1ms, weir::when_any(test::stuck(seen, "c"), weir::shielded(test::after(2ms, 2)))));
    REQUIRE(late.has_value());
    CHECK(late->get<1>() == 2);
    const auto at_once =
        co_await weir::as_result(weir::with_timeout(0s, weir::when_any(weir::sleep_for(1h), weir::sleep_for(2h))));
    CHECK(at_once.error() == std::errc::timed_out);
  });
}

TEST_CASE("one of several that are ready at once wins, and every seed agrees with itself") {
  bool won[3] = {};
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    auto race = []() -> weir::task<std::size_t> {
      const auto first = co_await weir::when_any(weir::yield(), weir::yield(), weir::yield());
      co_return first.index();
    };
    const std::size_t winner = simulate(race, seed);
    CHECK(simulate(race, seed) == winner);
    won[winner] = true;
  }
  CHECK(won[0]);
  CHECK(won[1]);
  CHECK(won[2]);
}

TEST_CASE("when_any in a loop leaves nothing behind") {
  simulate([]() -> weir::task<> {
    const int rounds = test::scaled(20'000, 2'000);
    auto guarded = []() -> weir::task<> {
      const test::counted guard;
      co_await weir::sleep_for(1h);
    };
    for (int i = 0; i < rounds; ++i) {
      const auto first = co_await weir::when_any(guarded(), weir::sleep_for(1us), guarded());
      if (first.index() != 1) FAIL("the short sleep must win");
    }
    CHECK(test::counted::alive == 0);
  });
}
