#include "calls.hpp"

#include <weir/patterns/circuit_breaker.hpp>
#include <weir/patterns/for_each.hpp>

using test::elapsed;
using test::simulate;
using weir::circuit_state;

namespace {

// The settings of S119.
constexpr weir::circuit_breaker_options s119{.failure_ratio = 0.6,
                                             .least_calls = 3,
                                             .window = std::chrono::seconds(10),
                                             .slices = 1,
                                             .open_for = std::chrono::seconds(60),
                                             .trials = 3};

/// Calls of one breaker whose outcome the test chooses.
class calls {
 public:
  explicit calls(weir::circuit_breaker& through) : breaker_(through) {}

  weir::task<weir::result<void>> well() { return one(true, 0ns); }
  weir::task<weir::result<void>> badly() { return one(false, 0ns); }
  weir::task<weir::result<void>> one(bool well, weir::duration length) {
    auto call = [this, well, length]() -> weir::task<> {
      ++made;
      co_await weir::sleep_for(length);
      if (!well) throw test::reset();
    };
    auto ended = co_await weir::as_result(breaker_.run(call));
    co_return std::move(ended);
  }
  weir::task<> several(const char* outcomes) {
    for (const char* c = outcomes; *c != 0; ++c) {
      auto ended = co_await one(*c == 's', 0ns);
      CHECK(ended.has_value() == (*c == 's'));
    }
  }

  int made = 0;

 private:
  weir::circuit_breaker& breaker_;
};

void write_changes(weir::circuit_breaker& of, test::log& to) {
  of.on_state_change([&to](const std::string& name, circuit_state from, circuit_state next) {
    to.push_back(name + ": " + to_string(from) + " -> " + to_string(next));
  });
}

}  // namespace

TEST_CASE("circuit_breaker: 3 requests and a ratio of 0.6 open it for 60 s, 3 trials close it (S119)") {
  simulate([]() -> weir::task<> {
    weir::circuit_breaker breaker("orders", s119);
    test::log changes;
    write_changes(breaker, changes);
    calls c(breaker);
    co_await c.several("ff");
    CHECK(breaker.state() == circuit_state::closed);  // two are too few
    co_await c.several("f");
    CHECK(breaker.state() == circuit_state::open);
    CHECK(changes == test::log{"orders: closed -> open"});

    auto refused = co_await c.well();
    CHECK(test::failed_with<weir::circuit_open>(refused));
    CHECK(refused.error() == std::errc::resource_unavailable_try_again);
    CHECK(test::unobserved::what(refused.exception())
              .starts_with("weir: the circuit of orders is open for another 60000 ms"));
    co_await weir::sleep_for(60s - 1us);
    refused = co_await c.well();
    CHECK(test::failed_with<weir::circuit_open>(refused));
    CHECK(c.made == 3);
    co_await weir::sleep_for(1us);
    CHECK(breaker.state() == circuit_state::half_open);
    co_await c.several("ss");
    CHECK(breaker.state() == circuit_state::half_open);
    co_await c.several("s");
    CHECK(breaker.state() == circuit_state::closed);
    CHECK(changes == test::log{"orders: closed -> open", "orders: open -> half-open", "orders: half-open -> closed"});
    co_await c.several("ff");  // the counts have begun at zero
    CHECK(breaker.state() == circuit_state::closed);
    const weir::circuit_stats s = breaker.stats();
    CHECK(s.succeeded == 3);
    CHECK(s.failed == 5);
    CHECK(s.refused == 2);
    CHECK(s.opened == 1);
  });
}

TEST_CASE("circuit_breaker: the ratio counts successes too; counts are cleared every 10 s (S119)") {
  simulate([]() -> weir::task<> {
    weir::circuit_breaker breaker("x", s119);
    calls c(breaker);
    co_await c.several("ssff");  // 2 of 4
    CHECK(breaker.state() == circuit_state::closed);
    co_await c.several("f");  // 3 of 5
    CHECK(breaker.state() == circuit_state::open);

    breaker.reset();
    co_await c.several("ff");
    co_await weir::sleep_for(10s);
    co_await c.several("f");
    CHECK(breaker.state() == circuit_state::closed);
    co_await weir::sleep_for(10s - 1us);
    co_await c.several("f");
    CHECK(breaker.state() == circuit_state::closed);
    co_await c.several("f");
    CHECK(breaker.state() == circuit_state::open);
  });
}

TEST_CASE("circuit_breaker: at most 3 trials at once, and any that fails opens it for 60 s more (S119)") {
  simulate([]() -> weir::task<> {
    weir::circuit_breaker breaker("x", s119);
    calls c(breaker);
    breaker.trip();
    co_await weir::sleep_for(60s);
    c.made = 0;
    int refused = 0;
    auto trial = [&](bool well, weir::duration length) -> weir::task<> {
      auto ended = co_await c.one(well, length);
      if (test::failed_with<weir::circuit_open>(ended)) ++refused;
    };
    auto body = [&](weir::task_group& group) -> weir::task<> {
      for (int i = 0; i < 5; ++i) group.spawn(trial, true, i == 0 ? weir::duration(3s) : weir::duration(5s));
      group.spawn(trial, true, weir::duration(0s));
      co_await weir::sleep_for(1s);
      CHECK(c.made == 3);
      CHECK(refused == 3);
      CHECK(breaker.state() == circuit_state::half_open);
      co_await group.join();
    };
    co_await weir::with_task_group(body);
    CHECK(breaker.state() == circuit_state::closed);

    breaker.trip();
    co_await weir::sleep_for(60s);
    c.made = 0;
    auto two = [&](weir::task_group& group) {
      group.spawn(trial, false, weir::duration(1s));
      group.spawn(trial, true, weir::duration(2s));  // has no say any more
    };
    co_await test::together(two);
    CHECK(c.made == 2);
    CHECK(breaker.state() == circuit_state::open);
    co_await weir::sleep_for(59s - 1us);  // open since one second before
    CHECK(breaker.state() == circuit_state::open);
    co_await weir::sleep_for(1us);
    CHECK(breaker.state() == circuit_state::half_open);
  });
}

TEST_CASE("circuit_breaker: failures in a row") {
  simulate([]() -> weir::task<> {
    weir::circuit_breaker breaker("x", {.consecutive_failures = 4, .failure_ratio = 2});
    calls c(breaker);
    co_await c.several("fffsfff");
    CHECK(breaker.state() == circuit_state::closed);
    co_await weir::sleep_for(1h);
    co_await c.several("f");
    CHECK(breaker.state() == circuit_state::open);
  });
}

TEST_CASE("circuit_breaker: with several slices the window slides") {
  simulate([]() -> weir::task<> {
    weir::circuit_breaker breaker("x", {.failure_ratio = 0.5, .least_calls = 4, .window = 10s, .slices = 5});
    calls c(breaker);
    co_await weir::sleep_for(9s);
    co_await c.several("ff");  // would be forgotten at 10 s with one slice
    co_await weir::sleep_for(2s);
    co_await c.several("f");
    CHECK(breaker.state() == circuit_state::closed);
    co_await c.several("f");
    CHECK(breaker.state() == circuit_state::open);
    breaker.reset();
    co_await c.several("fff");
    co_await weir::sleep_for(10s);
    co_await c.several("f");
    CHECK(breaker.state() == circuit_state::closed);
    co_await weir::sleep_for(1000h);
    co_await c.several("fff");
    CHECK(breaker.state() == circuit_state::closed);
  });
}

TEST_CASE("circuit_breaker: a call that comes back too late is a failure") {
  simulate([]() -> weir::task<> {
    weir::circuit_breaker breaker("x", {.consecutive_failures = 2, .slow = 1s, .open_for = 60s, .trials = 1});
    calls c(breaker);
    auto ended = co_await c.one(true, 1s);
    ended = co_await c.one(true, 1001ms);
    CHECK(ended.has_value());
    ended = co_await c.one(true, 2s);
    CHECK(breaker.state() == circuit_state::open);
    CHECK(breaker.stats().slow == 2);
    CHECK(breaker.stats().failed == 2);
    co_await weir::sleep_for(60s);
    ended = co_await c.one(true, 2s);
    CHECK(ended.has_value());
    CHECK(breaker.state() == circuit_state::open);
  });
}

TEST_CASE("circuit_breaker: a call that is stopped, cancelled or refused inside counts neither way") {
  simulate([]() -> weir::task<> {
    weir::circuit_breaker breaker("x", {.consecutive_failures = 1, .open_for = 60s, .trials = 1});
    calls c(breaker);
    auto stopped = co_await test::stopped_after(1s, c.one(false, 1h));
    CHECK(stopped.is_cancelled());
    auto called_off = []() -> weir::task<> {
      throw weir::cancelled();
      co_return;
    };
    auto ended = co_await weir::as_result(breaker.run(called_off));
    CHECK(ended.is_cancelled());
    auto refused = []() -> weir::task<> {
      throw weir::call_refused("full");
      co_return;
    };
    ended = co_await weir::as_result(breaker.run(refused));
    CHECK(test::failed_with<weir::call_refused>(ended));
    CHECK(breaker.state() == circuit_state::closed);
    CHECK(breaker.stats().ignored == 3);

    breaker.trip();
    co_await weir::sleep_for(60s);
    stopped = co_await test::stopped_after(1s, c.one(false, 1h));  // the only trial
    CHECK(stopped.is_cancelled());
    CHECK(breaker.state() == circuit_state::half_open);
    co_await c.several("s");  // has got its place
    CHECK(breaker.state() == circuit_state::closed);
  });
}

TEST_CASE("circuit_breaker: the user says which errors are failures") {
  simulate([]() -> weir::task<> {
    weir::circuit_breaker breaker("x", {.consecutive_failures = 2});
    breaker.count_as_failure([](const std::exception_ptr& e) { return !test::holds<std::out_of_range>(e); });
    auto not_found = []() -> weir::task<> {
      throw std::out_of_range("no such order");
      co_return;
    };
    calls c(breaker);
    co_await c.several("f");
    auto ended = co_await weir::as_result(breaker.run(not_found));
    CHECK(test::failed_with<std::out_of_range>(ended));
    co_await c.several("f");
    CHECK(breaker.state() == circuit_state::closed);
    co_await c.several("f");
    CHECK(breaker.state() == circuit_state::open);
  });
}

TEST_CASE("circuit_breaker: calls that began before a change have no say") {
  simulate([]() -> weir::task<> {
    weir::circuit_breaker breaker("x", {.consecutive_failures = 2, .open_for = 10s, .trials = 1});
    calls c(breaker);
    auto late = [&](bool well) -> weir::task<> {
      auto ended = co_await c.one(well, 11s);
      CHECK(ended.has_value() == well);
    };
    auto body = [&](weir::task_group& group) -> weir::task<> {
      group.spawn(late, true);
      group.spawn(late, false);
      co_await weir::sleep_for(500ms);
      co_await c.several("ff");
      co_await group.join();  // at 11 s, when it is half-open
      CHECK(breaker.state() == circuit_state::half_open);
    };
    co_await weir::with_task_group(body);
    co_await c.several("s");
    CHECK(breaker.state() == circuit_state::closed);
  });
}

TEST_CASE("circuit_breaker: a permit for what is no function") {
  simulate([]() -> weir::task<> {
    weir::circuit_breaker breaker("x", {.consecutive_failures = 2});
    {
      auto one = breaker.enter();
      one.failed();
      one.failed();  // has ended
      auto two = breaker.enter();
      auto moved = std::move(two);
      moved.succeeded();
      auto three = breaker.enter();
    }
    CHECK(breaker.stats().failed == 1);
    CHECK(breaker.stats().succeeded == 1);
    CHECK(breaker.stats().ignored == 1);
    breaker.trip();
    CHECK_THROWS_AS(static_cast<void>(breaker.enter()), weir::circuit_open);
    co_return;
  });
}

TEST_CASE("circuit_breaker: a callback may use it; changes are told one after the other") {
  simulate([]() -> weir::task<> {
    weir::circuit_breaker breaker("x", {.consecutive_failures = 1});
    test::log changes;
    int depth = 0;
    breaker.on_state_change([&](const std::string&, circuit_state from, circuit_state to) {
      CHECK(++depth == 1);
      changes.push_back(std::string(to_string(from)) + " -> " + to_string(to));
      if (to == circuit_state::open) breaker.reset();
      --depth;
    });
    calls c(breaker);
    co_await c.several("f");
    CHECK(changes == test::log{"closed -> open", "open -> closed"});
    CHECK(breaker.state() == circuit_state::closed);
  });
}

TEST_CASE("circuit_breaker: options that make no sense are refused") {
  using options = weir::circuit_breaker_options;
  for (const options& o :
       {options{.failure_ratio = 0}, options{.least_calls = 0}, options{.window = 0ns}, options{.slices = 0},
        options{.slices = 17}, options{.slow = -1ns}, options{.open_for = -1ns}, options{.trials = 0}}) {
    CHECK_THROWS_AS(weir::circuit_breaker("x", o), std::invalid_argument);
  }
}

TEST_CASE("circuit_breaker: every task of a pool runs through it; the rest go on when the service is back (S123)") {
  simulate([]() -> weir::task<> {
    weir::circuit_breaker breaker("service", {.failure_ratio = 0.5, .least_calls = 4, .window = 10s, .open_for = 5s});
    int asked = 0;
    int well = 0;
    int failed = 0;
    int refused = 0;
    auto job = [&](int) -> weir::task<> {
      auto service = [&]() -> weir::task<> {
        ++asked;
        co_await weir::sleep_for(100ms);
        if (elapsed() >= 1s && elapsed() < 8s) throw test::reset();  // it is down
      };
      auto ended = co_await weir::as_result(breaker.run(service));
      if (ended) {
        ++well;
      } else if (test::failed_with<weir::circuit_open>(ended)) {
        ++refused;
        co_await weir::sleep_for(100ms);
      } else {
        ++failed;
      }
    };
    std::vector<int> jobs(1000);
    co_await (weir::from(jobs) | weir::for_each(job, {.workers = 4}));
    CHECK(well + failed + refused == 1000);
    CHECK(asked == well + failed);
    CHECK(breaker.state() == circuit_state::closed);
    CHECK(failed < 60);  // of about 280 jobs that came while it was down
    CHECK(refused > 200);
    CHECK(well > 500);
    CHECK(breaker.stats().opened == 2);
    CHECK(elapsed() == 25s);
  });
}

TEST_CASE("circuit_breaker: from any worker; whatever happens, calls and changes add up") {
  weir::circuit_breaker breaker("x", {.consecutive_failures = 3, .open_for = 50us, .trials = 2});
  circuit_state last = circuit_state::closed;
  std::atomic<int> in_callback{0};
  std::uint64_t opened = 0;
  bool in_order = true;
  breaker.on_state_change([&](const std::string&, circuit_state from, circuit_state to) {
    in_order = in_order && in_callback.fetch_add(1) == 0 && from == last;
    last = to;
    if (to == circuit_state::open) ++opened;
    in_callback.fetch_sub(1);
  });
  std::atomic<std::uint64_t> well{0};
  std::atomic<std::uint64_t> failed{0};
  std::atomic<std::uint64_t> refused{0};
  weir::runtime world({.workers = 2});
  auto main = [&]() -> weir::task<> {
    auto caller = [&](std::uint64_t seed) -> weir::task<> {
      test::dice dice(seed);
      for (int i = 0; i < 500; ++i) {
        auto call = [&]() -> weir::task<> {
          co_await weir::yield();
          if (dice.roll(2) == 0) throw test::reset();
        };
        auto ended = co_await weir::as_result(breaker.run(call));
        ++(ended ? well : test::failed_with<weir::circuit_open>(ended) ? refused : failed);
      }
    };
    auto all = [&](weir::task_group& group) {
      for (std::uint64_t i = 0; i < 8; ++i) group.spawn(caller, i);
    };
    co_await test::together(all);
  };
  world.block_on(main());
  const weir::circuit_stats s = breaker.stats();
  CHECK(in_order);
  CHECK(well + failed + refused == 4000);
  CHECK(s.succeeded == well);
  CHECK(s.failed == failed);
  CHECK(s.refused == refused);
  CHECK(s.opened == opened);
}
