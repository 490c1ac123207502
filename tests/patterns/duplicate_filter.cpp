#include <weir/patterns/duplicate_filter.hpp>

#include "support.hpp"

#include <map>
#include <thread>

using test::simulate;

TEST_CASE("duplicate_filter: messages that come again are handled once, until their key has expired (S178)") {
  simulate([]() -> weir::task<> {
    weir::duplicate_filter<std::string> seen({.keep = 1h});
    std::map<std::string, int> handled;
    auto deliver = [&](std::string id, bool breaks) -> weir::task<> {
      if (!seen.admit(id)) co_return;
      bool done = false;
      try {
        co_await weir::sleep_for(1ms);
        if (breaks) throw std::runtime_error("broken");
        done = true;
      } catch (const std::runtime_error&) {
        seen.forget(id);  // let it come again
      }
      if (done) ++handled[id];
    };
    co_await weir::when_all(deliver("a", false), deliver("a", false), deliver("b", true));
    co_await deliver("a", false);
    co_await deliver("b", false);
    CHECK(handled["a"] == 1);
    CHECK(handled["b"] == 1);
    CHECK(seen.counters().duplicates == 2);
    co_await weir::sleep_until(test::at(1h - 1ms));
    CHECK(!seen.admit("a"));  // a duplicate does not prolong it
    co_await weir::sleep_until(test::at(1h));
    CHECK(seen.admit("a"));
    CHECK(!seen.admit("b"));
    CHECK(seen.counters().keys == 2);
  });
}

TEST_CASE("duplicate_filter: its memory is bounded; the oldest key gives way") {
  simulate([]() -> weir::task<> {
    weir::duplicate_filter<int> seen({.keep = 1h, .most_keys = 100});
    for (int i = 0; i < 1000; ++i) CHECK(seen.admit(i));
    CHECK(seen.counters().keys == 100);
    CHECK(seen.counters().evicted == 900);
    CHECK(!seen.admit(900));
    CHECK(seen.admit(899));  // 900 gives way
    CHECK(seen.forget(950));
    CHECK(!seen.forget(950));
    CHECK(seen.admit(950));
    CHECK(seen.admit(900));  // and now 901
    CHECK(!seen.admit(902));
    CHECK(seen.counters().keys == 100);
    co_await weir::sleep_for(1h);
    CHECK(seen.admit(902));
    CHECK(seen.counters().keys == 1);
    CHECK_THROWS_AS(weir::duplicate_filter<int>({.most_keys = 0}), std::invalid_argument);
  });
}

TEST_CASE("duplicate_filter: against a model, with keys that come, are forgotten and expire in any order") {
  for (std::uint64_t seed = 1; seed <= static_cast<std::uint64_t>(test::scaled(200, 20)); ++seed) {
    simulate([seed]() -> weir::task<> {
      test::dice dice(seed);
      weir::duplicate_filter<unsigned> seen({.keep = 20ms});
      std::map<unsigned, weir::time_point> model;
      for (int i = 0; i < 200; ++i) {
        const unsigned key = dice.roll(10);
        const auto found = model.find(key);
        const bool known = found != model.end() && found->second + 20ms > weir::now();
        if (dice.roll(4) == 0) {
          // What has expired may or may not have been dropped yet.
          const bool forgotten = seen.forget(key);
          if (known) CHECK(forgotten);
          model.erase(key);
        } else {
          CHECK(seen.admit(key) == !known);
          if (!known) model[key] = weir::now();
        }
        if (dice.roll(3) == 0) co_await weir::sleep_for(dice.roll(5) * 1ms);
      }
    });
  }
}

TEST_CASE("duplicate_filter: of several threads that bring the same keys one is admitted for each") {
  weir::duplicate_filter<int> seen;
  std::atomic<int> admitted{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 2000; ++i) {
        if (seen.admit(i)) ++admitted;
      }
    });
  }
  for (std::thread& t : threads) t.join();
  CHECK(admitted == 2000);
}
