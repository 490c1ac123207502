#include <weir/patterns/supervisor.hpp>

#include "support.hpp"

#include <algorithm>
#include <set>

using test::at;
using test::simulate;
using weir::child_restart;
using weir::child_state;
using weir::restart_strategy;

namespace {

/// Says in the log when it begins and when a stop ends it; fails after `life`, unless that is zero.
auto child_of(test::log& seen, std::string name, weir::duration life = 0ms) {
  return [&seen, name = std::move(name), life]() -> weir::task<> {
    const std::string called = name;
    const weir::duration length = life;
    seen.push_back("+" + called);
    test::mark last(seen, "-" + called);
    if (length == 0ms) co_await test::never();
    co_await weir::sleep_for(length);
    throw std::runtime_error(called + " broke");
  };
}

weir::task<> stop_after(weir::supervisor& s, weir::duration length) {
  co_await weir::sleep_for(length);
  s.stop();
}

/// Children that begin at the same time do so in any order.
test::log in_order(test::log seen) {
  for (auto i = seen.begin(); i != seen.end();) {
    const auto end = std::find_if(i, seen.end(), [](const std::string& s) { return s[0] != '+'; });
    std::sort(i, end);
    i = end == seen.end() ? end : end + 1;
  }
  return seen;
}

std::string failure_of(const std::exception_ptr& e) { return e ? test::unobserved::what(e) : "returned"; }

/// Observed, so that nothing is reported.
void ignore(weir::supervisor& s) {
  s.observe([](std::string_view, const std::exception_ptr&) {});
}

}  // namespace

TEST_CASE("supervisor: one for one: only the child that failed begins anew, later each time") {
  simulate([]() -> weir::task<> {
    test::log seen;
    test::log ended;
    weir::supervisor children({.most_restarts = 10, .first_delay = 10ms, .most_delay = 30ms});
    children.observe([&](std::string_view name, const std::exception_ptr& e) {
      ended.push_back(std::to_string(weir::now().time_since_epoch() / 1ms) + " " + std::string(name) + " " +
                      failure_of(e));
    });
    children.add("a", child_of(seen, "a"));
    children.add("b", child_of(seen, "b", 5ms));
    children.add("c", child_of(seen, "c"));
    co_await weir::when_all(children.run(), stop_after(children, 100ms));
    // It fails at 5; begins at 15, 40 (20 later), 75 (30 later), 110.
    CHECK(in_order(seen) == test::log{"+a", "+b", "+c", "-b", "+b", "-b", "+b", "-b", "+b", "-b", "-c!", "-a!"});
    CHECK(ended ==
          test::log{"5 b b broke", "20 b b broke", "45 b b broke", "80 b b broke", "100 c returned", "100 a returned"});
    CHECK(children.restarts() == 4);
    const auto status = children.children();
    CHECK(status.size() == 3);
    CHECK(status[1].name == "b");
    CHECK(status[1].starts == 4);
    CHECK(status[1].failures == 4);
    CHECK(failure_of(status[1].last_failure) == "b broke");
    CHECK(status[0].state == child_state::ended);
  });
}

TEST_CASE("supervisor: with jitter a child waits up to that share longer, and not always as long") {
  test::unobserved failures;
  std::set<weir::duration> pauses;
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    const auto main = [&pauses]() -> weir::task<> {
      std::vector<weir::time_point> begun;
      weir::supervisor children({.most_restarts = 1, .first_delay = 100ms, .jitter = 0.5});
      auto failing = [&begun]() -> weir::task<> {
        begun.push_back(weir::now());
        co_await weir::yield();
        throw std::runtime_error("broke");
      };
      children.add("a", failing);
      const auto ended = co_await weir::as_result(children.run());
      CHECK_FALSE(ended);
      REQUIRE(begun.size() == 2);
      pauses.insert(begun[1] - begun[0]);
    };
    test::simulate_reporting(main, seed);
  }
  CHECK(pauses.size() > 40);
  CHECK(*pauses.begin() >= 100ms);
  CHECK(*pauses.begin() < 110ms);
  CHECK(*pauses.rbegin() <= 150ms);
  CHECK(*pauses.rbegin() > 140ms);
}

TEST_CASE("supervisor: one for all stops the others, last first, and all begin anew in order") {
  simulate([]() -> weir::task<> {
    test::log seen;
    weir::supervisor children({.strategy = restart_strategy::one_for_all, .first_delay = 10ms});
    ignore(children);
    children.add("a", child_of(seen, "a"));
    children.add("b", child_of(seen, "b", 100ms));
    children.add("c", child_of(seen, "c"));
    children.add("d", child_of(seen, "d"), {.restart = child_restart::temporary});
    co_await weir::when_all(children.run(), stop_after(children, 150ms));
    CHECK(in_order(seen) ==
          test::log{"+a", "+b", "+c", "+d", "-b", "-d!", "-c!", "-a!", "+a", "+b", "+c", "-c!", "-b!", "-a!"});
    CHECK(children.restarts() == 3);
  });
}

TEST_CASE("supervisor: rest for one: those that were added later stand on it") {
  simulate([]() -> weir::task<> {
    test::log seen;
    weir::supervisor children({.strategy = restart_strategy::rest_for_one, .first_delay = 0ms});
    ignore(children);
    children.add("a", child_of(seen, "a"));
    children.add("b", child_of(seen, "b", 100ms));
    children.add("c", child_of(seen, "c"));
    co_await weir::when_all(children.run(), stop_after(children, 150ms));
    CHECK(in_order(seen) == test::log{"+a", "+b", "+c", "-b", "-c!", "+b", "+c", "-c!", "-b!", "-a!"});
  });
}

TEST_CASE(
    "supervisor: permanent children begin anew when they return, transient ones when they fail, temporary never") {
  simulate([]() -> weir::task<> {
    for (const bool fails : {false, true}) {
      std::array<int, 3> starts{};
      weir::supervisor children({.most_restarts = 1000, .first_delay = 1ms, .most_delay = 1ms});
      ignore(children);
      const std::array kinds = {child_restart::permanent, child_restart::transient, child_restart::temporary};
      for (std::size_t i = 0; i < 3; ++i) {
        auto life = [&, i]() -> weir::task<> {
          ++starts[i];
          const bool throws = fails && starts[i] < 3;
          co_await weir::sleep_for(1ms);
          if (throws) throw std::runtime_error("broken");
        };
        children.add(std::to_string(i), life, {.restart = kinds[i]});
      }
      co_await weir::when_all(children.run(), stop_after(children, 19500us));
      CHECK(starts == std::array{10, fails ? 3 : 1, 1});
    }
  });
}

TEST_CASE("supervisor: it ends by itself when all children have ended for good") {
  simulate([]() -> weir::task<> {
    weir::supervisor children;
    co_await children.run();
    children.add("a", [] { return test::nap(5ms); }, {.restart = child_restart::transient});
    children.add("b", [] { return test::nap(3ms); }, {.restart = child_restart::temporary});
    auto adds = [&]() -> weir::task<> {
      co_await weir::sleep_for(4ms);
      CHECK_THROWS_AS(children.add("a", [] { return test::nap(1ms); }), std::invalid_argument);
      children.add("b", [] { return test::nap(6ms); }, {.restart = child_restart::temporary});
    };
    co_await weir::when_all(children.run(), adds());
    CHECK(weir::now() == at(10ms));
  });
}

TEST_CASE("supervisor: too many restarts within the period are its own failure, after the others were stopped") {
  simulate([]() -> weir::task<> {
    test::log seen;
    weir::supervisor children({.most_restarts = 2, .period = 1s, .first_delay = 1ms});
    ignore(children);
    children.add("a", child_of(seen, "a"));
    children.add("b", child_of(seen, "b", 1ms));
    bool told = false;
    try {
      co_await children.run();
    } catch (const weir::restart_limit_exceeded& e) {
      told = true;
      CHECK(e.child() == "b");
      CHECK(failure_of(e.failure()) == "b broke");
      CHECK(std::string(e.what()).starts_with("weir::supervisor: more than 2 restarts in 1.0"));
    }
    CHECK(told);
    CHECK(in_order(seen) == test::log{"+a", "+b", "-b", "+b", "-b", "+b", "-b", "-a!"});
  });
  simulate([]() -> weir::task<> {  // as many, further apart
    weir::supervisor children({.most_restarts = 2, .period = 1s, .first_delay = 0ms});
    ignore(children);
    children.add("b", [] { return test::nap(600ms); });
    co_await weir::when_all(children.run(), stop_after(children, 10s));
    CHECK(children.restarts() == 16);
  });
}

TEST_CASE("supervisor: a supervisor among the children of another: what the inner cannot mend the outer begins anew") {
  simulate([]() -> weir::task<> {
    test::log seen;
    weir::supervisor inner({.most_restarts = 1, .first_delay = 0ms});
    ignore(inner);
    inner.add("leaf", child_of(seen, "leaf", 10ms));
    inner.add("other", child_of(seen, "other"));
    weir::supervisor outer({.most_restarts = 1, .first_delay = 0ms});
    test::log ends;
    outer.observe([&](std::string_view name, const std::exception_ptr&) { ends.emplace_back(name); });
    outer.add("inner", [&] { return inner.run(); });
    const auto ended = co_await weir::as_result(outer.run());
    CHECK(test::unobserved::what(ended.exception()).find("\"inner\"") != std::string::npos);
    CHECK(in_order(seen) == test::log{"+leaf", "+other", "-leaf", "+leaf", "-leaf", "-other!",  //
                                      "+leaf", "+other", "-leaf", "+leaf", "-leaf", "-other!"});
    CHECK(ends == test::log{"inner", "inner"});
  });
}

TEST_CASE(
    "supervisor: cancelled, it stops its children last first; a child that takes long holds up no others for ever") {
  simulate([]() -> weir::task<> {
    test::log seen;
    weir::supervisor children;
    children.add("a", child_of(seen, "a"));
    auto stubborn = [&]() -> weir::task<> {
      test::mark last(seen, "-stubborn");
      co_await weir::shielded(weir::sleep_for(1min));
    };
    children.add("stubborn", stubborn, {.stop_limit = 2s});
    children.add("c", child_of(seen, "c"));
    const auto ended = co_await weir::as_result(weir::with_timeout(1s, children.run()));
    CHECK(ended.error() == std::errc::timed_out);
    CHECK(in_order(seen) == test::log{"+a", "+c", "-c!", "-a!", "-stubborn"});
    CHECK(weir::now() == at(1min));
  });
}

TEST_CASE("supervisor: failures without an observer are reported; a child that cannot even be made has failed") {
  test::unobserved errors;
  test::simulate_reporting([]() -> weir::task<> {
    weir::supervisor children;
    auto cannot = []() -> weir::task<> { throw std::runtime_error("no coroutine"); };
    children.add("a", cannot, {.restart = child_restart::temporary});
    children.add("b", [] { return test::nap(1ms); }, {.restart = child_restart::temporary});
    co_await children.run();
    CHECK(children.children()[0].failures == 1);
    const auto both = [&]() -> weir::task<> { co_await weir::when_all(children.run(), children.run()); };
    const auto ended = co_await weir::as_result(both());
    CHECK(test::unobserved::what(ended.exception()) == "weir::supervisor: run() was called while it runs");
    CHECK_THROWS_AS(weir::supervisor({.first_delay = -1s}), std::invalid_argument);
    CHECK_THROWS_AS(weir::supervisor({.jitter = -0.1}), std::invalid_argument);
  });
  CHECK(errors.take().front() == "no coroutine");
}

TEST_CASE("supervisor: 500 seeds of children that fail and return, under each strategy: at the end none is left") {
  for (std::uint64_t seed = 1; seed <= static_cast<std::uint64_t>(test::scaled(500, 50)); ++seed) {
    simulate(
        [seed]() -> weir::task<> {
          test::dice dice(seed);
          weir::supervisor children({.strategy = static_cast<restart_strategy>(dice.roll(3)),
                                     .most_restarts = dice.roll(30),
                                     .period = 50ms,
                                     .first_delay = dice.roll(3) * 1ms,
                                     .most_delay = 4ms});
          int alive = 0;
          std::uint64_t starts = 0, ends = 0, failures = 0;
          children.observe([&](std::string_view, const std::exception_ptr& e) {
            ++ends;
            if (e) ++failures;
          });
          auto life = [&]() -> weir::task<> {
            struct living {
              explicit living(int& n) : count(n) { ++count; }
              ~living() { --count; }
              int& count;
            } const here(alive);
            ++starts;
            co_await weir::sleep_for(dice.roll(10) * 1ms);
            if (dice.roll(2) == 0) throw std::runtime_error("broken");
          };
          for (int i = 0; i < 4; ++i) {
            children.add(std::to_string(i), life, {.restart = static_cast<child_restart>(dice.roll(3))});
          }
          auto ends_it = [&]() -> weir::task<> {
            co_await weir::sleep_for(dice.roll(100) * 1ms);
            if (dice.roll(2) == 0) children.stop();
          };
          auto both = [&]() -> weir::task<> {
            auto runs = [&]() -> weir::task<> {
              auto ended = co_await weir::as_result(weir::with_timeout(120ms, children.run()));
              static_cast<void>(ended);
            };
            co_await weir::when_all(runs(), ends_it());
          };
          co_await both();
          CHECK(alive == 0);
          std::uint64_t counted = 0, failed = 0;
          for (const auto& c : children.children()) {
            CHECK(c.state != child_state::running);
            CHECK(c.state != child_state::stopping);
            counted += c.starts;
            failed += c.failures;
          }
          CHECK(counted == starts);
          CHECK(counted == ends);
          CHECK(failed == failures);
        },
        seed);
  }
}

TEST_CASE("supervisor: on two workers") {
  const auto main = []() -> weir::task<> {
    weir::supervisor children(
        {.strategy = restart_strategy::one_for_all, .most_restarts = 1'000'000, .first_delay = 0ms, .most_delay = 0ms});
    ignore(children);
    std::atomic<int> starts{0};
    auto life = [&]() -> weir::task<> {
      ++starts;
      for (int i = 0; i < 20; ++i) co_await weir::yield();
      throw std::runtime_error("broken");
    };
    for (int i = 0; i < 4; ++i) children.add(std::to_string(i), life);
    auto stops = [&]() -> weir::task<> {
      while (starts < 400) co_await weir::yield();
      children.stop();
    };
    co_await weir::when_all(children.run(), stops());
    std::uint64_t counted = 0;
    for (const auto& c : children.children()) counted += c.starts;
    CHECK(counted == static_cast<std::uint64_t>(starts.load()));
  };
  weir::run(main(), {.workers = 2});
}
