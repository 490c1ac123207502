#include <weir/patterns/scatter_gather.hpp>

#include "support.hpp"

#include <algorithm>
#include <map>
#include <ranges>
#include <span>

using test::simulate;

namespace {

int elapsed() { return static_cast<int>(weir::now().time_since_epoch() / 1ms); }

}  // namespace

TEST_CASE("scatter_gather: many calls, so many at a time, each result in its slot (S175)") {
  simulate([]() -> weir::task<> {
    // 100 external calls of 100 ms, 20 at a time: 500 ms.
    int running = 0;
    int most = 0;
    auto call = [&](int n) -> weir::task<int> {
      most = std::max(most, ++running);
      co_await weir::sleep_for(100ms);
      --running;
      if (n % 10 == 9) throw std::runtime_error("call " + std::to_string(n));
      co_return n* n;
    };
    auto answers = co_await weir::scatter_gather(test::up_to(100), call, {.concurrency = 20});
    CHECK(elapsed() == 500);
    CHECK(most == 20);
    REQUIRE(answers.size() == 100);
    for (int i = 0; i < 100; ++i) {
      auto& answer = answers[static_cast<std::size_t>(i)];
      if (i % 10 == 9) {
        CHECK(test::unobserved::what(answer.exception()) == "call " + std::to_string(i));
      } else {
        CHECK(*answer == i * i);
      }
    }
    // 1,000 addresses, 50 at a time, 10 ms each; 10,000 images, four at a time.
    std::vector<std::string> addresses(1000, "a@example.org");
    addresses[7] = "nobody";
    auto validate = [](const std::string& address) -> weir::task<bool> {
      co_await weir::sleep_for(10ms);
      co_return address.find('@') != std::string::npos;
    };
    auto valid = co_await weir::scatter_gather(addresses, validate, {.concurrency = 50});
    CHECK(elapsed() == 700);
    CHECK(std::count_if(valid.begin(), valid.end(), [](auto& v) { return *v; }) == 999);
    CHECK(!*valid[7]);
    running = most = 0;
    auto resize = [&](int n) -> weir::task<int> {
      most = std::max(most, ++running);
      co_await weir::sleep_for(1ms);
      --running;
      co_return n / 2;
    };
    auto resized = co_await weir::scatter_gather(std::views::iota(0, 10'000), resize, {.concurrency = 4});
    CHECK(elapsed() == 700 + 2500);
    CHECK(most == 4);
    CHECK(resized.size() == 10'000);
    CHECK(*resized.back() == 4999);
  });
}

TEST_CASE(
    "scatter_gather: at the deadline what runs is stopped, what was not begun is not, and every item has a result") {
  simulate([]() -> weir::task<> {
    int begun = 0;
    test::log ended;
    auto call = [&](int n) -> weir::task<int> {
      ++begun;
      const test::mark here(ended, std::to_string(n));
      co_await weir::sleep_for(100ms);
      co_return n;
    };
    auto results = co_await weir::scatter_gather(test::up_to(10), call, {.concurrency = 2, .limit = 250ms});
    CHECK(elapsed() == 250);
    CHECK(begun == 6);
    REQUIRE(results.size() == 10);
    for (int i = 0; i < 10; ++i) {
      const auto& one = results[static_cast<std::size_t>(i)];
      CHECK(one.has_value() == (i < 4));
      if (i >= 4) CHECK(one.error() == std::errc::timed_out);
    }
    std::sort(ended.begin(), ended.end());
    CHECK(ended == test::log{"0", "1", "2", "3", "4!", "5!"});
  });
}

TEST_CASE("scatter_gather: functions that never wait are bounded by the deadline too") {
  simulate([]() -> weir::task<> {
    auto now = [](int n) -> weir::task<int> { co_return n; };
    auto results = co_await weir::scatter_gather(test::up_to(100), now, {.concurrency = 1, .limit = 0s});
    CHECK(results[0].has_value());
    CHECK(results[99].error() == std::errc::timed_out);
  });
}

TEST_CASE("scatter_gather: fail_fast throws the first failure once the rest is joined") {
  simulate([]() -> weir::task<> {
    test::log ended;
    auto call = [&](int n) -> weir::task<int> {
      const test::mark here(ended, std::to_string(n));
      co_await weir::sleep_for((10 - n) * 10ms);
      if (n == 2) throw std::runtime_error("two");
      co_return n;
    };
    auto failed =
        co_await weir::as_result(weir::scatter_gather(test::up_to(10), call, {.concurrency = 3, .fail_fast = true}));
    CHECK(test::unobserved::what(failed.exception()) == "two");
    CHECK(elapsed() == 80);
    std::sort(ended.begin(), ended.end());
    CHECK(ended == test::log{"0!", "1!", "2"});
    auto late = co_await weir::as_result(weir::scatter_gather(test::up_to(2), call, {.limit = 5ms, .fail_fast = true}));
    CHECK(late.error() == std::errc::timed_out);
    auto good = co_await weir::scatter_gather(test::up_to(2), call, {.fail_fast = true});
    CHECK(good.size() == 2);
  });
}

TEST_CASE("scatter_gather: ranges of every kind, none and one") {
  simulate([]() -> weir::task<> {
    auto take = [](test::item i) -> weir::task<int> { co_return i.value; };
    std::vector<test::item> items;
    for (int i = 0; i < 3; ++i) items.emplace_back(i);
    auto given = co_await weir::scatter_gather(std::move(items), take);  // moved into the function
    CHECK(*given[2] == 2);
    std::vector<int> numbers{1, 2, 3};
    auto change = [](int& n) -> weir::task<> {
      n *= 2;
      co_return;
    };
    auto twice = [](int n) -> weir::task<int> { co_return 2 * n; };
    auto changed = co_await weir::scatter_gather(numbers, change);
    CHECK(changed.size() == 3);
    CHECK(numbers == std::vector{2, 4, 6});
    std::map<std::string, int> table{{"a", 1}, {"b", 2}};
    auto value = [](const std::pair<const std::string, int>& entry) -> weir::task<int> { co_return entry.second; };
    auto values = co_await weir::scatter_gather(table, value);
    CHECK(*values[1] == 2);
    auto lent = co_await weir::scatter_gather(std::span(numbers), change);
    CHECK(lent.size() == 3);
    CHECK(numbers[0] == 4);
    auto named = [](std::string name) -> weir::task<std::string> { co_return name; };
    auto made = numbers | std::views::transform([](int n) { return std::to_string(n); });
    auto names = co_await weir::scatter_gather(made, named);
    CHECK(*names[2] == "12");
    auto none = co_await weir::scatter_gather(std::vector<int>(), twice);
    CHECK(none.empty());
    auto throws = [](int n) -> weir::task<int> {
      if (n == 0) throw std::runtime_error("zero");
      return test::after(1ms, std::move(n));
    };
    auto both = co_await weir::scatter_gather(test::up_to(2), throws);
    CHECK(test::unobserved::what(both[0].exception()) == "zero");
    CHECK(*both[1] == 1);
    CHECK_THROWS_AS(static_cast<void>(weir::scatter_gather(numbers, change, {.concurrency = 0})),
                    std::invalid_argument);
  });
  CHECK(test::counted::alive == 0);
}

TEST_CASE("scatter_gather: a cancellation from outside stops all of it") {
  for (std::uint64_t seed = 0; seed < test::scaled(200, 20); ++seed) {
    simulate(
        [&]() -> weir::task<> {
          int running = 0;
          auto call = [&](int) -> weir::task<> {
            struct count {
              int& n;
              explicit count(int& c) : n(++c) {}
              ~count() { --n; }
            } here(running);
            co_await weir::sleep_for(7ms);
          };
          auto ended = co_await weir::as_result(
              weir::with_timeout(10ms, weir::scatter_gather(test::up_to(100), call, {.concurrency = 8})));
          CHECK(ended.error() == std::errc::timed_out);
          CHECK(running == 0);
        },
        seed);
  }
}

TEST_CASE("scatter_gather: on two workers") {
  auto main = []() -> weir::task<> {
    std::atomic<int> calls{0};
    auto call = [&](int n) -> weir::task<int> {
      ++calls;
      co_await weir::yield();
      co_return n;
    };
    auto results = co_await weir::scatter_gather(test::up_to(test::scaled(20'000, 1000)), call, {.concurrency = 7});
    CHECK(static_cast<std::size_t>(calls) == results.size());
    for (std::size_t i = 0; i < results.size(); ++i) CHECK(*results[i] == static_cast<int>(i));
  };
  weir::run(main(), {.workers = 2});
}
