#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "../skip.hpp"
#include "open_descriptors.hpp"
#include "other_thread.hpp"
#include "pretended_kernel.hpp"
#include "scenes.hpp"
#include "watchdog.hpp"

// Every kind of operation is cancelled at every moment of its life, by everything that can cancel it. Whatever happens,
// the operation either completes or is cancelled, and all that was given to it is accounted for: what it has not
// delivered is still where it was.

using test::completion;
using test::kind_of_operation;
using test::kinds_of_operations;
using test::other_thread;
using test::pass_time;
using test::scene;
using test::watchdog;
using weir::as_result;
using weir::cancellation_token;
using weir::task;
using weir::task_group;
using weir::with_task_group;

namespace {

// ---- moments, and ways to cancel

enum class moment : std::uint8_t {
  before,                // the token is cancelled already
  starting,              // in the same turn in which it begins
  waiting,               // the reactor, or whoever it waits for, has it
  cancel_then_complete,  // both in one turn
  complete_then_cancel,
  race,  // one here, the other on another thread
  after,
};
constexpr std::array moments = {
    std::pair{moment::before, "before it starts"},
    std::pair{moment::starting, "as it starts"},
    std::pair{moment::waiting, "while it waits"},
    std::pair{moment::cancel_then_complete, "just before it completes"},
    std::pair{moment::complete_then_cancel, "just as it completes"},
    std::pair{moment::race, "at the same time as it completes"},
    std::pair{moment::after, "after it has completed"},
};

enum class stopper : std::uint8_t { token, handle, group };
constexpr std::array stoppers = {
    std::pair{stopper::token, "token"},
    std::pair{stopper::handle, "join_handle"},
    std::pair{stopper::group, "task_group"},
};

enum class ending : std::uint8_t { none, completed, cancelled };

task<> attempt(scene& s, cancellation_token token, ending& how) {
  const bool completed = co_await s.attempt(token);
  how = completed ? ending::completed : ending::cancelled;
}

struct plan {
  moment when;
  stopper by;
  unsigned round;
};

/// The order of the two, and how far apart they are, in a race.
struct stagger {
  bool cancel_elsewhere;
  unsigned pause;
};

stagger stagger_of(unsigned round) { return {.cancel_elsewhere = round % 2 == 0, .pause = round / 2 * 7 % 400}; }

/// One operation, one cancellation.
task<> one(scene& s, plan p, other_thread& other) {
  watchdog::watch(s.label);
  co_await s.open();
  weir::cancellation_source source;
  ending how = ending::none;
  // In its own group, so that it can be cancelled with that; then this body is stopped, too, at its next leaf.
  auto ended = co_await as_result(with_task_group([&](task_group& group) -> task<> {
    if (p.when == moment::before && p.by == stopper::token) source.request_cancellation();
    if (p.when == moment::before && p.by == stopper::group) group.cancel();
    const cancellation_token token = p.by == stopper::token ? source.token() : cancellation_token();
    auto running = group.spawn(attempt(s, token, how));
    const auto cancel = [&] {
      switch (p.by) {
        case stopper::token:
          source.request_cancellation();
          break;
        case stopper::handle:
          running.request_cancellation();
          break;
        case stopper::group:
          group.cancel();
          break;
      }
    };
    switch (p.when) {
      case moment::before:
        if (p.by == stopper::handle) cancel();
        break;
      case moment::starting:
        if (p.round % 2 == 1) co_await weir::yield();
        cancel();
        break;
      case moment::waiting:
        co_await test::settle_down(s.yields_per_turn);
        cancel();
        break;
      case moment::cancel_then_complete:
        if (p.round % 2 == 1) co_await test::settle_down(s.yields_per_turn);
        cancel();
        s.trigger_once();
        break;
      case moment::complete_then_cancel:
        if (p.round % 2 == 1) co_await test::settle_down(s.yields_per_turn);
        s.trigger_once();
        // The reactor may have seen it, and its task may be about to run.
        for (unsigned i = 0; i < p.round / 2; ++i) co_await weir::yield();
        cancel();
        break;
      case moment::race: {
        if (p.round % 4 >= 2) co_await test::settle_down(s.yields_per_turn);
        const stagger apart = stagger_of(p.round);
        const auto complete = [&] { s.trigger_once(); };
        if (apart.cancel_elsewhere) {
          other.begin(cancel);
          pass_time(apart.pause);
          complete();
        } else {
          other.begin(complete);
          pass_time(apart.pause);
          cancel();
        }
        other.end();
        break;
      }
      case moment::after:
        s.trigger_once();
        while (!running.done()) {
          s.go_on();
          co_await weir::yield();
        }
        cancel();
        break;
    }
    if (s.outlasts_its_stop() || s.ignores_stops()) s.trigger_once();
    while (!running.done()) {
      s.go_on();
      co_await weir::yield();
    }
    auto r = co_await as_result(running.join());
    s.expect(r.has_value() == (how != ending::none), "it ended and was stopped, or neither");
    s.expect(r.has_value() || r.is_cancelled(), "it failed");
  }));
  s.expect(ended.has_value() || (ended.is_cancelled() && p.by == stopper::group), "the group failed");
  const bool completed = how == ending::completed;
  const bool triggered = p.when == moment::cancel_then_complete || p.when == moment::complete_then_cancel ||
                         p.when == moment::race || s.outlasts_its_stop() || s.ignores_stops();
  if (s.ignores_stops()) s.expect(completed, "it was stopped");
  switch (p.when) {
    case moment::before:
      if (s.ignores_stops()) break;
      if (p.by != stopper::handle) s.expect(!completed, "it completed under a token that had been cancelled before");
      break;
    case moment::after:
      s.expect(completed, "it was cancelled although it had completed");
      break;
    default:
      if (!triggered && s.completes() != completion::by_itself) s.expect(!completed, "it completed by itself");
      break;
  }
  s.trigger_once();
  co_await s.settle(completed);
}

struct thoroughness {
  int yields_per_turn;
  int races;
  int completions = 8;  // that are followed by a stop
};

task<> all_of_a_kind(const kind_of_operation& k, other_thread& other, std::string where, thoroughness how) {
  for (const auto& [when, when_name] : moments) {
    for (const auto& [by, by_name] : stoppers) {
      int rounds = when == moment::race ? how.races : when == moment::complete_then_cancel ? how.completions : 2;
      if (k.slow) rounds = std::min(rounds, 2);
      for (int round = 0; round < rounds; ++round) {
        const std::unique_ptr<scene> s = k.make();
        s->label =
            fmt::format("{}, cancelled through a {} {} ({}, round {})", k.name, by_name, when_name, where, round);
        s->yields_per_turn = how.yields_per_turn;
        if (s->completes() == completion::never && when == moment::after) continue;
        const plan p{.when = when, .by = by, .round = static_cast<unsigned>(round)};
        co_await one(*s, p, other);
      }
    }
  }
}

}  // namespace

TEST_CASE("cancellation: each kind of operation at each moment") {
  const watchdog dog;
  other_thread other;
  for (const kind_of_operation& k : kinds_of_operations()) {
    for (const auto& [workers, tasks] : {std::pair{1u, 1u}, std::pair{1u, 256u}, std::pair{4u, 256u}}) {
      if (k.slow && tasks == 1) continue;
      const std::string where = fmt::format("{} workers, {} tasks per turn", workers, tasks);
      const thoroughness how{.yields_per_turn = tasks == 1 ? 10 : 600, .races = test::scaled(40, 8)};
      const test::no_descriptor_leaks none;
      weir::run(all_of_a_kind(k, other, where, how),
                {.workers = workers, .offload_threads = 1, .tasks_per_turn = tasks});
    }
  }
}

TEST_CASE("cancellation: each kind of operation at each moment, on the rings of older kernels") {
  if (!test::ring_is_default()) return skip("io_uring is not what runs here");
  const watchdog dog;
  other_thread other;
  for (const test::kernel_version& version : test::older_kernels()) {
    const test::pretended_kernel kernel(version.flags, ~0u, version.operations);
    for (const kind_of_operation& k : kinds_of_operations()) {
      if (k.simulable || k.slow) continue;  // it does not come to a ring, or takes its time
      for (const unsigned workers : {1u, 4u}) {
        const std::string where = fmt::format("{} workers, a ring of Linux {}", workers, version.name);
        const test::no_descriptor_leaks none;
        constexpr thoroughness how{
            .yields_per_turn = 600, .races = test::scaled(8, 4), .completions = test::scaled(8, 2)};
        weir::run(all_of_a_kind(k, other, where, how), {.workers = workers, .offload_threads = 1});
      }
    }
    CHECK(kernel.flags_used() == version.flags);
  }
}

// ---- the end of the runtime

namespace {

task<> leave_it_waiting(scene& s, ending& how) {
  watchdog::watch(s.label);
  co_await s.open();
  weir::spawn(attempt(s, {}, how));
  co_await test::settle_down();
  if (s.outlasts_its_stop() || s.ignores_stops()) s.trigger_once();
}

}  // namespace

TEST_CASE("cancellation: each kind of operation when the runtime ends") {
  const watchdog dog;
  for (const kind_of_operation& k : kinds_of_operations()) {
    for (const unsigned workers : {1u, 4u}) {
      const test::no_descriptor_leaks none;
      const std::unique_ptr<scene> s = k.make();
      s->label = fmt::format("{}, when the runtime of {} workers ends", k.name, workers);
      // What holds up the only thread for offload() must end by itself.
      if (std::string_view(k.name) == "offload, queued") continue;
      ending how = ending::none;
      weir::run(leave_it_waiting(*s, how), {.workers = workers, .offload_threads = 1});
      if (s->completes() == completion::never) s->expect(how == ending::none, "it completed");
      s->trigger_once();
    }
  }
}
