#include <array>
#include <deque>
#include <functional>

#include "support.hpp"

using test::simulate;

TEST_CASE("when_all runs its operations side by side and keeps their order") {
  simulate([]() -> weir::task<> {
    const weir::time_point start = weir::now();
    auto all = co_await weir::when_all(test::after(3ms, 1), test::nap(2ms), weir::sleep_for(1ms),
                                       test::after(1ms, std::make_unique<int>(4)));
    static_assert(std::is_same_v<decltype(all), std::tuple<int, std::monostate, std::monostate, std::unique_ptr<int>>>);
    CHECK(std::get<0>(all) == 1);
    CHECK(*std::get<3>(all) == 4);
    CHECK(weir::now() == start + 3ms);
  });
}

TEST_CASE("when_all of references, of one operation, and of scopes") {
  simulate([]() -> weir::task<> {
    int x = 1;
    auto reference = [&]() -> weir::task<int&> {
      co_await weir::sleep_for(1ms);
      co_return x;
    };
    auto one = co_await weir::when_all(reference());
    std::get<0>(one) = 5;
    CHECK(x == 5);
    const auto scopes = co_await weir::when_all(weir::as_result(weir::with_timeout(1ms, test::nap(1h))),
                                                weir::as_result(weir::with_timeout(1h, test::after(2ms, 2))));
    CHECK(std::get<0>(scopes).error() == std::errc::timed_out);
    CHECK(*std::get<1>(scopes) == 2);
  });
}

TEST_CASE("when_all of a vector completes with values in the order given; of an empty one at once") {
  simulate([]() -> weir::task<> {
    std::vector<weir::task<int>> tasks;
    for (int i = 0; i < 50; ++i) tasks.push_back(test::after((50 - i) * 1ms, i));
    const std::vector<int> values = co_await weir::when_all(std::move(tasks));
    REQUIRE(values.size() == 50);
    for (int i = 0; i < 50; ++i) CHECK(values[static_cast<std::size_t>(i)] == i);
    std::vector<weir::task<>> naps;
    for (int i = 0; i < 10; ++i) naps.push_back(test::nap(i * 1ms));
    co_await weir::when_all(std::move(naps));
    std::vector<weir::task<int>> none;
    const std::vector<int> nothing = co_await weir::when_all(std::move(none));
    CHECK(nothing.empty());
  });
}

TEST_CASE("when_all of a range: references, move-only values, and containers of other kinds") {
  simulate([]() -> weir::task<> {
    std::array<int, 3> values{1, 2, 3};
    auto reference = [&](std::size_t i) -> weir::task<int&> {
      co_await weir::sleep_for((4 - i) * 1ms);
      co_return values[i];
    };
    std::vector<weir::task<int&>> references;
    for (std::size_t i = 0; i < 3; ++i) references.push_back(reference(i));
    auto same = co_await weir::when_all(std::move(references));
    static_assert(std::is_same_v<decltype(same), std::vector<std::reference_wrapper<int>>>);
    for (int& value : same) value *= 10;
    CHECK(values == std::array{10, 20, 30});

    std::deque<weir::task<std::unique_ptr<int>>> owning;
    for (int i = 0; i < 3; ++i) owning.push_back(test::after(i * 1ms, std::make_unique<int>(i)));
    const auto owned = co_await weir::when_all(std::move(owning));
    REQUIRE(owned.size() == 3);
    CHECK(*owned[2] == 2);

    std::array<weir::task<>, 2> pair{test::nap(1ms), test::nap(2ms)};
    co_await weir::when_all(std::move(pair));
    std::vector<weir::task<>> none;
    co_await weir::when_all(std::move(none));
    const auto r = co_await weir::as_result(weir::when_all(std::vector<weir::task<int&>>()));
    CHECK(r.has_value());
  });
}

TEST_CASE("the first failure cancels the others, joins them and is rethrown") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    try {
      co_await weir::when_all(test::stuck(seen, "a"), test::fail_after(1ms, "first"), test::stuck(seen, "b"));
    } catch (const std::runtime_error& e) {
      seen.push_back(e.what());
    }
  });
  REQUIRE(seen.size() == 3);
  CHECK(seen[0].back() == '!');
  CHECK(seen[1].back() == '!');
  CHECK(seen[2] == "first");
}

TEST_CASE("later failures of when_all go to on_error, each once") {
  test::unobserved errors;
  auto late = [](const char* what) -> weir::task<> {
    co_await weir::shielded(weir::sleep_for(5ms));
    throw std::runtime_error(what);
  };
  SUBCASE("of operations") {
    test::simulate_reporting([&]() -> weir::task<> {
      const auto r = co_await weir::as_result(weir::when_all(late("late"), test::fail_after(1ms, "first")));
      CHECK(test::unobserved::what(r.exception()) == "first");
    });
  }
  SUBCASE("of a vector") {
    test::simulate_reporting([&]() -> weir::task<> {
      std::vector<weir::task<>> tasks;
      tasks.push_back(late("late"));
      auto first = []() -> weir::task<> { co_await test::fail_after(1ms, "first"); };
      tasks.push_back(first());
      std::string what;
      try {
        co_await weir::when_all(std::move(tasks));
      } catch (const std::exception& e) {
        what = e.what();
      }
      CHECK(what == "first");
    });
  }
  SUBCASE("stopped from outside, so that even the first is seen by nobody") {
    test::simulate_reporting([&]() -> weir::task<> {
      const auto r = co_await weir::as_result(weir::with_timeout(1ms, weir::when_all(late("late"), test::nap(1h))));
      CHECK(r.error() == std::errc::timed_out);
    });
  }
  CHECK(errors.take() == test::log{"late"});
}

TEST_CASE("when_all stopped from outside stops and joins all; when all end in time all the same, it completes") {
  test::log seen;
  simulate([&]() -> weir::task<> {
    const auto r = co_await weir::as_result(
        weir::with_timeout(1ms, weir::when_all(test::stuck(seen, "a"), test::stuck(seen, "b"), test::after(1us, 1))));
    CHECK(r.error() == std::errc::timed_out);
    CHECK(seen.size() == 2);
    const auto late = co_await weir::as_result(weir::with_timeout(
        1ms, weir::when_all(weir::shielded(test::after(2ms, 1)), weir::shielded(test::after(3ms, 2)))));
    CHECK(late.has_value());
  });
}

TEST_CASE("when_all under a stop runs each up to its first leaf") {
  simulate([]() -> weir::task<> {
    int begun = 0;
    auto child = [&]() -> weir::task<> {
      ++begun;
      co_await weir::checkpoint();
      begun += 100;
    };
    const auto r = co_await weir::as_result(weir::with_timeout(0s, weir::when_all(child(), child(), child())));
    CHECK(r.error() == std::errc::timed_out);
    CHECK(begun == 3);
  });
}

TEST_CASE("a when_all that is never awaited destroys its tasks without running them") {
  int ran = 0;
  auto child = [&](std::unique_ptr<test::counted>) -> weir::task<> {
    ++ran;
    co_return;
  };
  {
    auto never = weir::when_all(child(std::make_unique<test::counted>()), child(std::make_unique<test::counted>()));
    static_cast<void>(never);
    CHECK(test::counted::alive == 2);
  }
  CHECK(ran == 0);
  CHECK(test::counted::alive == 0);
}
