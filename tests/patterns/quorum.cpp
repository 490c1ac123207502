#include <weir/patterns/quorum.hpp>

#include "support.hpp"

using test::simulate;

namespace {

int elapsed() { return static_cast<int>(weir::now().time_since_epoch() / 1ms); }

weir::task<int> replica(test::log& log, weir::duration latency, int value) {
  test::mark alive(log, std::to_string(value));
  co_await weir::sleep_for(latency);
  co_return value;
}

}  // namespace

TEST_CASE("quorum: completes with the first that suffice, the others are stopped and joined") {
  simulate([]() -> weir::task<> {
    test::log log;
    auto got = co_await weir::quorum(2, replica(log, 30ms, 1), replica(log, 10ms, 2), replica(log, 5s, 3));
    CHECK(elapsed() == 30);
    REQUIRE(got.values.size() == 2);
    CHECK(got.values[0].index == 1);
    CHECK(got.values[0].value == 2);
    CHECK(got.values[1].index == 0);
    CHECK(got.failures.empty());
    CHECK(log == test::log{"2", "1", "3!"});
  });
}

TEST_CASE("quorum: failures that leave enough are told beside the values") {
  simulate([]() -> weir::task<> {
    test::log log;
    auto got = co_await weir::quorum(2, replica(log, 30ms, 1), test::fail_after(10ms, "down"), replica(log, 20ms, 3));
    CHECK(elapsed() == 30);
    CHECK(got.values.size() == 2);
    REQUIRE(got.failures.size() == 1);
    CHECK(got.failures[0].index == 1);
    CHECK(test::unobserved::what(got.failures[0].exception) == "down");
  });
}

TEST_CASE("quorum: too many failures end it early, and all of them are known") {
  simulate([]() -> weir::task<> {
    test::log log;
    auto lost = co_await weir::as_result(weir::quorum(2, replica(log, 1h, 1), test::fail_after(10ms, "no room"),
                                                      weir::with_timeout(20ms, test::after(1h, 2))));
    CHECK(elapsed() == 20);
    CHECK(log == test::log{"1!"});
    try {
      std::rethrow_exception(lost.exception());
    } catch (const weir::quorum_not_reached& e) {
      CHECK(std::string(e.what()).starts_with("weir: quorum: 2 of 3 were needed, and these failed: [1] no room [2] "));
      REQUIRE(e.failures().size() == 2);
      CHECK(e.failures()[0].index == 1);
      CHECK(e.failures()[1].error == std::errc::timed_out);
    }
  });
}

TEST_CASE("quorum: one of many, all of many, ranges, void and references") {
  simulate([]() -> weir::task<> {
    std::vector<weir::task<>> naps;
    for (int i = 5; i > 0; --i) naps.push_back(test::nap(i * 10ms));
    auto first = co_await weir::quorum(1, std::move(naps));
    CHECK(first.values.at(0).index == 4);
    CHECK(elapsed() == 10);
    int number = 3;
    auto reference = [&]() -> weir::task<int&> { co_return number; };
    auto both = co_await weir::quorum(2, reference(), reference());
    CHECK(&both.values.at(1).value == &number);
    auto owned = []() -> weir::task<std::unique_ptr<int>> { co_return std::make_unique<int>(1); };
    auto moved = co_await weir::quorum(1, owned(), owned());
    CHECK(*moved.values.at(0).value == 1);
    auto leaves = co_await weir::quorum(1, weir::sleep_for(5ms), weir::sleep_for(6ms));
    CHECK(leaves.values.at(0).index == 0);
  });
}

TEST_CASE("quorum: what makes no sense is refused at the call") {
  simulate([]() -> weir::task<> {
    CHECK_THROWS_AS(static_cast<void>(weir::quorum(0, test::nap(1ms))), std::invalid_argument);
    CHECK_THROWS_AS(static_cast<void>(weir::quorum(2, test::nap(1ms))), std::invalid_argument);
    std::vector<weir::task<>> none;
    CHECK_THROWS_AS(static_cast<void>(weir::quorum(1, std::move(none))), std::invalid_argument);
    co_return;
  });
}

TEST_CASE("quorum: a late failure reaches on_error, a cancellation from outside stops all") {
  test::unobserved seen;
  test::simulate_reporting([]() -> weir::task<> {
    auto stubborn = []() -> weir::task<int> {
      co_await weir::shielded(weir::sleep_for(50ms));
      throw std::runtime_error("too late");
    };
    auto got = co_await weir::quorum(1, test::after(10ms, 1), stubborn());
    CHECK(got.values.size() == 1);
    CHECK(got.failures.empty());
    test::log log;
    auto ended =
        co_await weir::as_result(weir::with_timeout(10ms, weir::quorum(1, replica(log, 1h, 1), replica(log, 1h, 2))));
    CHECK(ended.error() == std::errc::timed_out);
    CHECK(log.size() == 2);
  });
  CHECK(test::unobserved::take() == test::log{"too late"});
}

TEST_CASE("quorum: seeds and two workers: never more values than needed, never more failures than there were") {
  test::unobserved late;  // which failures come after the decision, the seed says
  for (std::uint64_t seed = 0; seed < test::scaled(500, 50); ++seed) {
    test::simulate_reporting(
        [seed]() -> weir::task<> {
          test::dice dice(seed);
          const std::size_t count = 1 + dice.roll(6);
          const std::size_t needed = 1 + dice.roll(static_cast<unsigned>(count));
          std::size_t failing = 0;
          std::vector<weir::task<int>> tasks;
          for (std::size_t i = 0; i < count; ++i) {
            const auto when = (1 + dice.roll(3)) * 1ms;
            if (dice.roll(3) == 0) {
              ++failing;
              tasks.push_back(test::fail_after(when, "x"));
            } else {
              tasks.push_back(test::after(when, static_cast<int>(i)));
            }
          }
          auto got = co_await weir::as_result(weir::quorum(needed, std::move(tasks)));
          CHECK(got.has_value() == (count - failing >= needed));
          if (got) {
            CHECK(got->values.size() == needed);
            CHECK(got->failures.size() <= failing);
            for (const auto& one : got->values) CHECK(one.value == static_cast<int>(one.index));
          }
        },
        seed);
  }
  auto main = []() -> weir::task<> {
    for (int round = 0; round < test::scaled(300, 30); ++round) {
      auto one = [](int n) -> weir::task<int> {
        co_await weir::yield();
        co_return n;
      };
      auto got = co_await weir::quorum(2, one(0), one(1), one(2));
      CHECK(got.values.size() == 2);
    }
  };
  weir::run(main(), {.workers = 2});
}
