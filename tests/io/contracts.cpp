#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <set>
#include <string>
#include <utility>

#include <weir/runtime/detail/run_queue.hpp>
#include <weir/sync/event.hpp>

#include "contract_rows.hpp"
#include "scenes.hpp"
#include "watchdog.hpp"

// docs/contracts.md and the scenes that hold what it says belong together: no row without a scene, no scene without a
// row. In simulations, where a seed picks the moments, as in cancellation.cpp on real workers.

using test::kind_of_operation;
using test::kinds_of_operations;
using test::scene;
using weir::as_result;
using weir::cancellation_cause;
using weir::task;
using weir::task_group;
using weir::with_cancellation;
using weir::with_task_group;
using weir::with_timeout;

TEST_CASE("contracts: each row of the table has a case, and each case a row") {
  const std::set<std::string> rows = test::rows_of_contracts(false);
  CHECK(rows.size() > 50);
  test::expect_rows_held(rows, kinds_of_operations());
}

// ---- at moments that the seed picks

namespace {

enum class ending : std::uint8_t { none, completed, cancelled };

task<> attempt(scene& s, weir::cancellation_token token, ending& how) {
  const bool completed = co_await s.attempt(token);
  how = completed ? ending::completed : ending::cancelled;
}

/// Completion and cancellation come when the dice say; whoever is late finds it done.
task<> one(scene& s, weir::detail::random_numbers& dice) {
  co_await s.open();
  weir::cancellation_source source;
  ending how = ending::none;
  const auto body = [&](task_group& group) -> task<> {
    auto running = group.spawn(attempt(s, source.token(), how));
    const auto pause = [&]() -> task<> {
      const std::uint32_t length = dice.below(4);
      // Not at all, some turns, or so much time that all has come to rest.
      for (std::uint32_t i = 0; length == 1 && i < dice.below(6); ++i) co_await weir::yield();
      if (length >= 2) co_await weir::sleep_for(std::chrono::microseconds(dice.below(80)));
    };
    const std::uint32_t stopper = dice.below(3);
    const auto cancel = [&]() -> task<> {
      co_await pause();
      if (stopper == 0) source.request_cancellation();
      if (stopper == 1) running.request_cancellation();
      if (stopper == 2) group.cancel();
    };
    const auto complete = [&]() -> task<> {
      co_await pause();
      s.trigger_once();
    };
    co_await weir::shielded(weir::when_all(cancel(), complete()));
    while (!running.done()) {
      s.go_on();
      co_await weir::shielded(weir::sleep_for(1us));
    }
  };
  auto ended = co_await as_result(with_task_group(body));
  s.expect(ended.has_value() || ended.is_cancelled(), "the group failed");
  if (s.ignores_stops()) s.expect(how != ending::cancelled, "it was stopped");
  co_await s.settle(how == ending::completed);
}

}  // namespace

TEST_CASE("contracts: each kind of operation at moments that the seed picks") {
  const test::watchdog dog;
  const int seeds = test::scaled(200, 40);
  int simulated = 0;
  for (const kind_of_operation& k : kinds_of_operations()) {
    if (!k.simulable) continue;
    ++simulated;
    for (std::uint64_t seed = 0; seed < static_cast<std::uint64_t>(seeds); ++seed) {
      const std::unique_ptr<scene> s = k.make();
      s->label = fmt::format("{}, seed {}", k.name, seed);
      test::watchdog::watch(s->label);
      weir::detail::random_numbers dice(seed);
      const auto program = [&]() -> task<> { co_await one(*s, dice); };
      test::simulate(program, seed);
    }
  }
  CHECK(simulated > 40);
}

// ---- causes

namespace {

task<> wait_for_ever() { co_await weir::sleep_until(weir::time_point::max()); }

}  // namespace

TEST_CASE("contracts: why it was stopped reaches the result") {
  test::simulate([]() -> task<> {
    // By a token; by its handle; by its group.
    weir::cancellation_source source;
    source.request_cancellation();
    auto by_token = co_await as_result(with_cancellation(source.token(), wait_for_ever()));
    CHECK(by_token.is_cancelled());
    CHECK(by_token.cause() == cancellation_cause::requested);
    auto handle = weir::spawn(wait_for_ever());
    handle.request_cancellation();
    auto by_handle = co_await as_result(handle.join());
    CHECK(by_handle.is_cancelled());
    CHECK(by_handle.cause() == cancellation_cause::requested);
    const auto cancels = [](task_group& group) -> task<> {
      group.cancel();
      co_await weir::checkpoint();
    };
    auto by_group = co_await as_result(with_task_group(cancels));
    CHECK(by_group.is_cancelled());
    CHECK(by_group.cause() == cancellation_cause::requested);

    // By a deadline: its own is a timeout; seen from another task it is a cancellation.
    auto timed_out = co_await as_result(with_timeout(1ms, wait_for_ever()));
    CHECK(!timed_out.is_cancelled());
    CHECK(timed_out.error() == std::errc::timed_out);
    CHECK(timed_out.cause() == cancellation_cause::deadline);
    weir::join_handle<> child;
    const auto lends = [&](task_group& group) -> task<> {
      child = group.spawn(wait_for_ever());
      co_await wait_for_ever();
    };
    auto outer = co_await as_result(with_timeout(1ms, with_task_group(lends)));
    CHECK(outer.error() == std::errc::timed_out);
    auto by_deadline = co_await as_result(child.join());
    CHECK(by_deadline.is_cancelled());
    CHECK(by_deadline.cause() == cancellation_cause::deadline);

    // A token that was cancelled by a deadline hands its cause on.
    cancellation_cause handed_on = cancellation_cause::none;
    const auto passes_token_on = [&]() -> task<> {
      const weir::cancellation_token here = weir::current_token();
      const auto elsewhere = [&handed_on, here]() -> task<> {
        auto r = co_await as_result(with_cancellation(here, wait_for_ever()));
        handed_on = r.cause();
      };
      co_await weir::shielded(elsewhere());
    };
    auto passed = co_await as_result(with_timeout(1ms, passes_token_on()));
    CHECK(passed.has_value());
    CHECK(handed_on == cancellation_cause::deadline);
  });
}

TEST_CASE("contracts: the end of a runtime is a cause of its own") {
  for (const unsigned workers : {1u, 3u}) {
    weir::join_handle<> left;
    {
      weir::runtime rt{{.workers = workers}};
      left = rt.spawn(wait_for_ever());
      const weir::shutdown_report report = rt.shutdown({.drain = 0s, .cancel = 60s});
      CHECK(report.cancelled);
      weir::simulation world;
      const auto asks = [&]() -> task<> {
        auto r = co_await as_result(left.join());
        CHECK(r.is_cancelled());
        CHECK(r.cause() == cancellation_cause::shutdown);
      };
      world.run(asks());
    }
    cancellation_cause seen = cancellation_cause::none;
    const auto leaves = [&]() -> task<> {
      const auto notes = [&seen]() -> task<> {
        const weir::cancellation_token here = weir::current_token();
        const auto note = [&seen, here](const weir::cleanup_outcome&) -> task<> {
          seen = here.cause();
          co_return;
        };
        co_await weir::with_cleanup(wait_for_ever(), note, 1h);
      };
      weir::spawn(notes);
      co_await test::settle_down(10);
    };
    weir::run(leaves(), {.workers = workers});
    CHECK(seen == cancellation_cause::shutdown);
  }
}

TEST_CASE("contracts: a deadlock is a cause of its own") {
  cancellation_cause seen = cancellation_cause::none;
  weir::simulation world;
  const auto waits = [&]() -> task<> {
    weir::event never;
    const weir::cancellation_token here = weir::current_token();
    const auto note = [&seen, here](const weir::cleanup_outcome&) -> task<> {
      seen = here.cause();
      co_return;
    };
    co_await weir::with_cleanup(never.wait(), note, 1h);
  };
  CHECK_THROWS_AS(world.run(waits()), weir::deadlock);
  CHECK(seen == cancellation_cause::deadlock);
}

// ---- deadlines inside each other

TEST_CASE("contracts: of nested deadlines the nearer one ends it, and remaining() tells what is left") {
  test::simulate([]() -> task<> {
    const weir::time_point start = weir::now();
    CHECK(weir::remaining() == weir::duration::max());

    // The outer one is nearer: the stop goes past the inner one, which does not call it its own.
    bool swallowed = false;
    const auto inner_is_later = [&]() -> task<> {
      CHECK(weir::remaining() == 10ms);
      auto r = co_await as_result(with_timeout(1h, wait_for_ever()));
      swallowed = true;
      static_cast<void>(r);
    };
    auto outer_ends = co_await as_result(with_timeout(10ms, inner_is_later()));
    CHECK(outer_ends.error() == std::errc::timed_out);
    CHECK(!swallowed);
    CHECK(weir::now() == start + 10ms);

    // The inner one is nearer: the outer one goes on, with what is left.
    bool went_on = false;
    const auto inner_is_nearer = [&]() -> task<> {
      const auto looks = []() -> task<> {
        CHECK(weir::remaining() == 3ms);
        co_await weir::sleep_for(1ms);
        CHECK(weir::remaining() == 2ms);
        // A later deadline changes nothing.
        const auto inside = []() -> task<> {
          CHECK(weir::remaining() == 2ms);
          co_return;
        };
        co_await with_timeout(1h, inside());
        co_await wait_for_ever();
      };
      auto r = co_await as_result(with_timeout(3ms, looks()));
      CHECK(r.error() == std::errc::timed_out);
      CHECK(weir::remaining() == 7ms);
      went_on = true;
    };
    co_await with_timeout(10ms, inner_is_nearer());
    CHECK(went_on);
    CHECK(weir::now() == start + 13ms);

    // A point in time and a length, in one expression; and children have their group's.
    const auto child_looks = []() -> task<> {
      CHECK(weir::remaining() == 2ms);
      co_await wait_for_ever();
    };
    const auto spawns = [&](task_group& group) -> task<> {
      group.spawn(child_looks());
      co_await group.join();
    };
    auto both = co_await as_result(with_timeout(5ms, with_deadline(weir::now() + 2ms, with_task_group(spawns))));
    CHECK(both.error() == std::errc::timed_out);
    CHECK(weir::now() == start + 15ms);

    // What is over is over.
    const auto late = []() -> task<> {
      CHECK(weir::remaining() == 0ms);
      co_return;
    };
    co_await with_deadline(start, late());
    // Behind a shield there is neither.
    const auto shielded = []() -> task<> {
      CHECK(weir::remaining() == weir::duration::max());
      co_return;
    };
    co_await with_timeout(1ms, weir::shielded(shielded()));
    CHECK(weir::remaining() == weir::duration::max());
  });
}
