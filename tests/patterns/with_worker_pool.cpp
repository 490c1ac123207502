#include "pool_support.hpp"

// Pools in a scope, and pools in a row.

using test::elapsed;
using test::simulate;
using weir::pool_state;
using weir::shutdown_mode;
using weir::worker_pool;

namespace {

weir::task<int> after_500ms(int n) {
  co_await weir::sleep_for(500ms);
  co_return std::move(n);
}

}  // namespace

TEST_CASE("worker_pool: chains of pools drain in their order, and a full one slows down the one before (S47, D35)") {
  simulate([]() -> weir::task<> {
    auto parse = [](int n) -> weir::task<int> {
      co_await weir::sleep_for(1ms);
      if (n % 100 == 50) throw std::runtime_error("not a number");
      co_return n + 1;
    };
    auto convert = [](int n) -> weir::task<int> {
      co_await weir::sleep_for(1ms);
      co_return 2 * n;
    };
    auto store = [](int n) -> weir::task<int> {
      co_await weir::sleep_for(2ms);
      co_return std::move(n);
    };
    worker_pool first{parse, {.workers = 4, .queue = 100}};
    worker_pool second{convert, {.workers = 4, .queue = 100}};
    worker_pool third{store, {.workers = 2, .queue = 50}};
    auto parsed = first.results();
    auto converted = second.results();
    auto stored = third.results();
    int errors = 0;
    // Between two pools stands a task, and no worker: nobody holds one while he waits for the next.
    auto hands_on = [&](weir::receiver<weir::job_result<int>> from, worker_pool<int(int)>& to) -> weir::task<> {
      while (auto r = co_await from.receive()) {
        if (!r->outcome.has_value()) {
          ++errors;
          continue;
        }
        (void)co_await to.submit(*r->outcome);
      }
      co_await to.shutdown();
    };
    long sum = 0;
    int count = 0;
    auto reads = [&]() -> weir::task<> {
      while (auto r = co_await stored.receive()) {
        sum += *r->outcome;
        ++count;
      }
    };
    auto body = [&](weir::task_group& group) -> weir::task<> {
      group.spawn(hands_on, std::move(parsed), std::ref(second));
      group.spawn(hands_on, std::move(converted), std::ref(third));
      group.spawn(reads);
      for (int n = 0; n < 2000; ++n) (void)co_await first.submit(n);
      co_await first.shutdown();
      co_await group.join();
    };
    co_await weir::with_timeout(1min, weir::with_task_group(body));
    CHECK(errors == 20);
    CHECK(count == 1980);
    CHECK(sum == 2L * (2000 * 2001 / 2 - 20 * 1001));  // but for 51, 151, ..., 1951
    CHECK(third.stats().most_queued == 50);
    CHECK(third.state() == pool_state::ended);
  });
}

TEST_CASE(
    "worker_pool: jobs that submit to the next pool and wait there end with it, however it ends (S47, S78, D35)") {
  for (const shutdown_mode mode : {shutdown_mode::drain, shutdown_mode::cancel}) {
    simulate([mode]() -> weir::task<> {
      worker_pool second{after_500ms, {.workers = 1, .queue = 2}};
      auto nested = [&](int n) -> weir::task<int> {
        auto ticket = co_await second.submit(n);
        co_return co_await std::move(ticket);
      };
      worker_pool first{nested, {.workers = 4, .queue = 100}};
      std::vector<weir::job_ticket<int>> tickets;
      for (int n = 0; n < 20; ++n) tickets.push_back(co_await first.submit(n));
      co_await weir::sleep_for(700ms);
      co_await second.shutdown(mode);  // the wrong way round: the first one still needs it
      auto seen = co_await test::outcomes_of(tickets);
      CHECK(seen.all() == 20);
      CHECK(seen.values == (mode == shutdown_mode::drain ? 4 : 1));
      CHECK(seen.failed + seen.cancelled == 20 - seen.values);
      co_await first.shutdown();
      test::check_exact(first.stats());
      test::check_exact(second.stats());
    });
  }
}

TEST_CASE(
    "with_worker_pool: joins the jobs, which may refer to what is around; a body that fails or is stopped cancels") {
  simulate([]() -> weir::task<> {
    std::vector<int> squares(50);
    auto work = [&](std::size_t i) { squares[i] = static_cast<int>(i * i); };
    auto body = [&](auto& pool) -> weir::task<std::string> {
      for (std::size_t i = 0; i < squares.size(); ++i) (void)co_await pool.submit(i);
      co_return "done";
    };
    const std::string said = co_await weir::with_worker_pool(work, {.workers = 4, .queue = 8}, body);
    CHECK(said == "done");
    CHECK(squares[49] == 49 * 49);
  });
  CHECK(test::counted::alive == 0);
  simulate([]() -> weir::task<> {
    auto work = [](int) -> weir::task<int> {
      const test::counted here;
      co_await weir::sleep_for(1h);
      co_return 0;
    };
    weir::job_ticket<int> ticket;
    auto fails = [&](auto& pool) -> weir::task<> {
      ticket = co_await pool.submit(1);
      co_await weir::sleep_for(1s);
      throw std::runtime_error("body");
    };
    auto r = co_await weir::as_result(weir::with_worker_pool(work, {.workers = 2}, fails));
    CHECK(test::unobserved::what(r.exception()) == "body");
    CHECK(test::counted::alive == 0);
    CHECK(elapsed() == 1s);
    auto answer = co_await weir::as_result(std::move(ticket));
    CHECK(answer.is_cancelled());

    auto stays = [&](auto& pool) -> weir::task<> {
      for (int n = 0; n < 10; ++n) (void)co_await pool.submit(n);
    };
    auto stopped = co_await weir::as_result(
        weir::with_timeout(1s, weir::with_worker_pool(work, {.workers = 2, .queue = 20}, stays)));
    CHECK(stopped.error() == std::errc::timed_out);
    CHECK(test::counted::alive == 0);

    int sum = 0;
    auto closures = [&](auto& pool) -> weir::task<> {
      for (int n = 0; n < 10; ++n) {
        const auto job = [&sum, n] { sum += n; };
        (void)co_await pool.submit(job);
      }
    };
    co_await weir::with_worker_pool<void>({.workers = 2, .queue = 20}, closures);
    CHECK(sum == 45);
  });
}
