#include "pool_support.hpp"

using test::elapsed;
using test::outcomes;
using test::simulate;
using weir::pool_state;
using weir::shutdown_mode;
using weir::worker_pool;

namespace {

weir::task<int> after_500ms(int n) {
  co_await weir::sleep_for(500ms);
  co_return std::move(n);
}

weir::task<int> never(int) {
  co_await weir::sleep_until(weir::time_point::max());
  co_return 0;
}

/// Jobs of every kind: they return at once, later, much later or never, and they throw.
weir::task<int> any_job(int n) {
  const test::counted here;
  if (n % 5 == 1) co_await weir::yield();
  if (n % 5 == 2) co_await weir::sleep_for(2us);
  if (n % 7 == 3) throw std::runtime_error("three");
  if (n % 11 == 4) co_await weir::sleep_for(1h);
  co_return std::move(n);
}

/// One life of a pool, from the first job to the end, with whatever the seed decides: when it is shut down, how, how
/// often and by whom, how many submit, wait, give up and are stopped. Every job must have one outcome.
weir::task<> one_life(std::uint64_t seed) {
  test::dice dice(seed);
  weir::worker_pool_options options;
  options.workers = 1 + dice.roll(2);
  options.most_workers = options.workers + dice.roll(2);
  options.queue = dice.roll(4);
  options.order = options.queue != 0 && dice.roll(3) == 0 ? weir::job_order::priority : weir::job_order::fifo;
  options.grow_after = 3us;
  options.idle = 2us;
  worker_pool pool{any_job, options};
  const bool streams = dice.roll(4) == 0;
  weir::receiver<weir::job_result<int>> results;
  if (streams) results = pool.results();

  outcomes seen;
  int accepted = 0;
  int refused = 0;
  auto waits = [&](weir::job_ticket<int> ticket) -> weir::task<> {
    auto r = co_await weir::as_result(std::move(ticket));
    if (!streams) seen.add(r);
  };
  auto body = [&](weir::task_group& group) -> weir::task<> {
    auto submits = [&](int who) -> weir::task<> {
      for (int n = 0; n < 4; ++n) {
        auto ticket = co_await pool.submit_with({.priority = n, .patience = (1 + n) * 1us}, 4 * who + n);
        accepted += ticket ? 1 : 0;
        refused += ticket ? 0 : 1;
        if (ticket) group.spawn(waits, std::move(ticket));
      }
    };
    auto tries = [&](int n) -> weir::task<> {
      co_await weir::yield();
      auto ticket = pool.try_submit(n);
      accepted += ticket ? 1 : 0;
      refused += ticket ? 0 : 1;
      if (ticket) group.spawn(waits, std::move(ticket));
    };
    auto ends = [&](unsigned steps, shutdown_mode mode, weir::duration limit) -> weir::task<> {
      for (; steps != 0; --steps) co_await weir::yield();
      auto given_up = co_await weir::as_result(weir::with_timeout(limit, pool.shutdown(mode, 5us)));
      static_cast<void>(given_up);
    };
    const unsigned submitters = dice.roll(4);
    for (unsigned who = 0; who < submitters; ++who) group.spawn(submits, static_cast<int>(who));
    group.spawn(tries, 20);
    const unsigned enders = dice.roll(3);
    for (unsigned n = 0; n < enders; ++n) {
      const shutdown_mode mode = dice.roll(2) == 0 ? shutdown_mode::drain : shutdown_mode::cancel;
      group.spawn(ends, dice.roll(30), mode, (1 + dice.roll(20)) * 1us);
    }
    for (unsigned n = dice.roll(20); n != 0; --n) co_await weir::yield();
    if (dice.roll(3) == 0) pool.cancel();
    const shutdown_mode last = dice.roll(2) == 0 ? shutdown_mode::drain : shutdown_mode::cancel;
    co_await pool.shutdown(last, 10us);
    CHECK(pool.state() == pool_state::ended);
    CHECK(test::counted::alive == 0);
    co_await group.join();
  };
  co_await weir::with_task_group(body);
  while (streams) {
    auto r = co_await results.receive();
    if (!r) break;
    seen.add(r->outcome);
  }
  const weir::pool_stats s = pool.stats();
  test::check_exact(s);
  CHECK(seen.all() == accepted);
  CHECK(s.accepted == static_cast<std::uint64_t>(accepted));
  CHECK(s.refused == static_cast<std::uint64_t>(refused));
  CHECK(s.completed == static_cast<std::uint64_t>(seen.values));
  CHECK(s.failed == static_cast<std::uint64_t>(seen.failed));
  CHECK(s.cancelled == static_cast<std::uint64_t>(seen.cancelled));
}

}  // namespace

TEST_CASE(
    "worker_pool: every accepted job has one outcome, in 10,000 lives with failures, cancels and shutdowns (D04, "
    "D34)") {
  const int lives = test::scaled(10'000, 300);
  for (int seed = 1; seed <= lives; ++seed) {
    const auto main = [seed] { return one_life(static_cast<std::uint64_t>(seed)); };
    simulate(main, static_cast<std::uint64_t>(seed));
    if (test::counted::alive != 0) FAIL("seed " << seed);
  }
}

TEST_CASE("worker_pool: on two threads too every accepted job has one outcome, whoever ends the pool meanwhile") {
  weir::runtime rt{{.workers = 2}};
  for (int round = 0; round < test::scaled(300, 60); ++round) {
    const auto main = [round]() -> weir::task<> {
      std::atomic<int> accepted{0}, values{0}, failed{0}, cancelled{0};
      weir::worker_pool_options options{.workers = 2, .queue = 4, .grow_after = 10us, .idle = 10us};
      options.most_workers = round % 2 == 0 ? 2 : 4;
      options.order = round % 3 == 0 ? weir::job_order::priority : weir::job_order::fifo;
      auto work = [](int n) -> weir::task<int> {
        if (n % 4 == 1) co_await weir::yield();
        if (n % 7 == 3) throw std::runtime_error("three");
        co_return std::move(n);
      };
      worker_pool pool{work, options};
      auto submits = [&](int who) -> weir::task<> {
        std::vector<weir::job_ticket<int>> tickets;
        for (int n = 0; n < 20; ++n) {
          auto ticket = co_await pool.submit_with({.priority = n % 3}, who + n);
          if (!ticket) break;
          ++accepted;
          tickets.push_back(std::move(ticket));
        }
        auto seen = co_await test::outcomes_of(tickets);
        values += seen.values;
        failed += seen.failed;
        cancelled += seen.cancelled;
      };
      auto body = [&](weir::task_group& group) -> weir::task<> {
        for (int who = 0; who < 3; ++who) group.spawn(submits, who);
        for (int n = 0; n < round % 20; ++n) co_await weir::yield();
        const shutdown_mode mode = round % 5 < 2 ? shutdown_mode::cancel : shutdown_mode::drain;
        co_await pool.shutdown(mode);
        co_await group.join();
      };
      co_await weir::with_task_group(body);
      const weir::pool_stats s = pool.stats();
      test::check_exact(s);
      CHECK(s.accepted == static_cast<std::uint64_t>(accepted.load()));
      CHECK(s.completed == static_cast<std::uint64_t>(values.load()));
      CHECK(s.failed == static_cast<std::uint64_t>(failed.load()));
      CHECK(s.cancelled == static_cast<std::uint64_t>(cancelled.load()));
    };
    rt.block_on(main());
  }
}

TEST_CASE("worker_pool: drain does what is queued and what runs, and then ends the workers (S66, D27, D36)") {
  simulate([]() -> weir::task<> {
    worker_pool pool{after_500ms, {.workers = 3, .queue = 100}};
    std::vector<weir::job_ticket<int>> tickets;
    for (int n = 0; n < 30; ++n) tickets.push_back(co_await pool.submit(n));
    const std::size_t abandoned = co_await pool.shutdown();
    CHECK(abandoned == 0);
    CHECK(elapsed() == 5s);
    auto seen = co_await test::outcomes_of(tickets);
    CHECK(seen.values == 30);
    test::check_exact(pool.stats());
  });
}

TEST_CASE("worker_pool: its states, and what each refuses (S86, P58, P60)") {
  simulate([]() -> weir::task<> {
    worker_pool pool{after_500ms, {.workers = 1, .queue = 2}};
    CHECK(pool.state() == pool_state::running);
    CHECK(pool.stats().workers == 0);  // they start with the first job
    (void)co_await pool.submit(1);
    CHECK(pool.stats().workers == 1);
    (void)co_await pool.submit(2);
    auto body = [&](weir::task_group& group) -> weir::task<> {
      auto drains = [&]() -> weir::task<> { co_await pool.shutdown(shutdown_mode::drain); };
      auto waits = [&]() -> weir::task<> {
        (void)co_await pool.submit(3);
        (void)co_await pool.submit(4);
        auto ticket = co_await pool.submit(5);  // waits for room when the pool is shut down
        CHECK(!ticket);
        CHECK(ticket.error() == std::errc::operation_canceled);
        CHECK(elapsed() == 10ms);
      };
      auto waiting = group.spawn(waits);
      co_await weir::sleep_for(10ms);
      auto first = group.spawn(drains);
      auto second = group.spawn(drains);
      co_await weir::sleep_for(10ms);
      CHECK(pool.state() == pool_state::draining);
      CHECK(waiting.done());
      CHECK(!pool.try_submit(6));
      auto late = co_await pool.submit(7);
      auto r = co_await weir::as_result(std::move(late));  // an error value, no crash
      CHECK(r.is_cancelled());
      CHECK(r.cause() == weir::cancellation_cause::shutdown);
      co_await group.join();
      CHECK(first.done());
      CHECK(second.done());
    };
    co_await weir::with_task_group(body);
    CHECK(pool.state() == pool_state::ended);
    const std::size_t again = co_await pool.shutdown(shutdown_mode::cancel);
    CHECK(again == 0);
    pool.cancel();
    CHECK(pool.state() == pool_state::ended);
  });
  simulate([]() -> weir::task<> {
    worker_pool never_used{after_500ms};
    co_await never_used.shutdown();
    CHECK(never_used.state() == pool_state::ended);
    auto ticket = co_await never_used.submit(1);
    CHECK(!ticket);
    worker_pool cancelled_at_once{after_500ms};
    cancelled_at_once.cancel();
    CHECK(cancelled_at_once.state() == pool_state::ended);
  });
}

TEST_CASE("worker_pool: cancel answers what waits, stops what runs, and says how many (P59, P61, D18)") {
  simulate([]() -> weir::task<> {
    worker_pool pool{after_500ms, {.workers = 2, .queue = 20}};
    std::vector<weir::job_ticket<int>> tickets;
    for (int n = 0; n < 12; ++n) tickets.push_back(co_await pool.submit(n));
    co_await weir::sleep_for(600ms);
    const std::size_t abandoned = co_await pool.shutdown(shutdown_mode::cancel);
    CHECK(elapsed() == 600ms);
    CHECK(abandoned == 10);
    auto seen = co_await test::outcomes_of(tickets);
    CHECK(seen.values == 2);
    CHECK(seen.cancelled == 10);
    test::check_exact(pool.stats());
  });
}

TEST_CASE("worker_pool: cancel after drain goes on at once; both may be called, in any order (D17, D28)") {
  simulate([]() -> weir::task<> {
    worker_pool pool{after_500ms, {.workers = 1, .queue = 20}};
    for (int n = 0; n < 10; ++n) (void)co_await pool.submit(n);
    auto body = [&](weir::task_group& group) -> weir::task<> {
      auto drains = [&]() -> weir::task<> {
        const std::size_t abandoned = co_await pool.shutdown();
        CHECK(abandoned == 10);
        CHECK(elapsed() == 100ms);  // and not after 5 s
      };
      group.spawn(drains);
      co_await weir::sleep_for(100ms);
      const std::size_t abandoned = co_await pool.shutdown(shutdown_mode::cancel);
      CHECK(abandoned == 10);
      co_await group.join();
    };
    co_await weir::with_task_group(body);
    CHECK(elapsed() == 100ms);
  });
}

TEST_CASE("worker_pool: a drain that takes too long becomes a cancel (S86, D28)") {
  simulate([]() -> weir::task<> {
    worker_pool pool{never, {.workers = 2, .queue = 20}};
    for (int n = 0; n < 5; ++n) (void)co_await pool.submit(n);
    const std::size_t abandoned = co_await pool.shutdown(shutdown_mode::drain, 2s);
    CHECK(abandoned == 5);
    CHECK(elapsed() == 2s);
    test::check_exact(pool.stats());
  });
  simulate([]() -> weir::task<> {
    worker_pool pool{never, {.workers = 1}};
    (void)co_await pool.submit(1);
    auto given_up = co_await weir::as_result(weir::with_timeout(1s, pool.shutdown()));
    CHECK(given_up.error() == std::errc::timed_out);
    CHECK(pool.state() == pool_state::draining);  // it goes on as it was told
    const std::size_t abandoned = co_await pool.shutdown(shutdown_mode::drain, 0s);
    CHECK(abandoned == 1);
    CHECK(elapsed() == 1s);
  });
}

TEST_CASE("worker_pool: no job begins after a cancel (D22)") {
  for (std::uint64_t seed = 1; seed <= static_cast<std::uint64_t>(test::scaled(500, 100)); ++seed) {
    const auto main = []() -> weir::task<> {
      bool over = false;
      int after = 0;
      auto work = [&](int n) -> weir::task<int> {
        after += over ? 1 : 0;
        co_await weir::yield();
        co_return std::move(n);
      };
      worker_pool pool{work, {.workers = 3, .queue = 30}};
      for (int n = 0; n < 30; ++n) (void)co_await pool.submit(n);
      for (int n = 0; n < 5; ++n) co_await weir::yield();
      pool.cancel();
      over = true;
      co_await pool.shutdown();
      CHECK(after == 0);
      CHECK(pool.stats().accepted == 30);
      CHECK(pool.stats().completed + pool.stats().cancelled == 30);
    };
    simulate(main, seed);
  }
}

TEST_CASE("worker_pool: a job that fails while it is cancelled, and results without a reader, hold nobody up (D19)") {
  simulate([]() -> weir::task<> {
    auto work = [](int n) -> weir::task<int> {
      if (n % 2 == 0) throw std::runtime_error("even");
      co_await weir::sleep_for(1h);
      co_return std::move(n);
    };
    worker_pool pool{work, {.workers = 5, .queue = 100}};
    auto results = pool.results();
    for (int n = 0; n < 100; ++n) (void)pool.try_submit(n);
    co_await weir::sleep_for(1ms);
    co_await pool.shutdown(shutdown_mode::cancel);
    CHECK(elapsed() == 1ms);
    const auto s = pool.stats();
    test::check_exact(s);
    CHECK(s.accepted == 100);
  });
}

TEST_CASE("worker_pool: destroyed without shutdown it cancels, wherever it is in its life") {
  for (std::uint64_t seed = 1; seed <= static_cast<std::uint64_t>(test::scaled(300, 60)); ++seed) {
    const auto main = [seed]() -> weir::task<> {
      test::dice dice(seed);
      std::vector<weir::job_ticket<int>> tickets;
      std::size_t submitted = 0;
      {
        worker_pool pool{any_job, {.workers = 2, .queue = 10}};
        submitted = dice.roll(10);
        for (std::size_t n = 0; n < submitted; ++n) tickets.push_back(co_await pool.submit(static_cast<int>(n)));
        for (unsigned n = dice.roll(6); n != 0; --n) co_await weir::yield();
        if (dice.roll(3) == 0) {
          auto given_up = co_await weir::as_result(weir::with_timeout(1us, pool.shutdown()));
          static_cast<void>(given_up);
        }
      }
      auto seen = co_await test::outcomes_of(tickets);
      CHECK(seen.all() == static_cast<int>(submitted));
    };
    simulate(main, seed);
    if (test::counted::alive != 0) FAIL("seed " << seed);
  }
}

TEST_CASE("worker_pool: a cancel reaches what jobs have started in turn (S78)") {
  simulate([]() -> weir::task<> {
    test::log seen;
    auto work = [&](int) -> weir::task<int> {
      auto body = [&](weir::task_group& group) -> weir::task<> {
        group.spawn([&] { return test::stuck(seen, "child"); });
        co_await test::stuck(seen, "body");
      };
      co_await weir::with_task_group(body);
      co_return 0;
    };
    worker_pool pool{work, {.workers = 2}};
    auto ticket = co_await pool.submit(1);
    co_await weir::sleep_for(1ms);
    co_await pool.shutdown(shutdown_mode::cancel);
    CHECK(seen.size() == 2);
    auto r = co_await weir::as_result(std::move(ticket));
    CHECK(r.is_cancelled());
    CHECK(r.cause() == weir::cancellation_cause::requested);
  });
}
