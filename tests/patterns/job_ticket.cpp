#include "pool_support.hpp"

using test::elapsed;
using test::simulate;
using weir::shutdown_mode;
using weir::worker_pool;

namespace {

weir::task<int> after_100ms(int n) {
  co_await weir::sleep_for(100ms);
  co_return std::move(n);
}

weir::task<int> unit(int n) {
  co_await weir::yield();
  co_return std::move(n);
}

}  // namespace

TEST_CASE("worker_pool: try_submit refuses, submit waits, submit_for waits a while (S71, D33)") {
  simulate([]() -> weir::task<> {
    worker_pool pool{after_100ms, {.workers = 4, .queue = 100}};
    int accepted = 0;
    for (int n = 0; n < 110; ++n) accepted += pool.try_submit(n) ? 1 : 0;
    CHECK(accepted == 100);  // the workers had no turn yet
    auto refused = pool.try_submit(1);
    CHECK(refused.error() == std::errc::resource_unavailable_try_again);
    CHECK(refused.done());
    auto r = co_await weir::as_result(std::move(refused));
    CHECK(r.error() == std::errc::resource_unavailable_try_again);
    co_await test::settle();
    for (int n = 0; n < 4; ++n) CHECK(pool.try_submit(n));
    const weir::time_point before_wait = weir::now();
    auto late = co_await pool.submit_for(50ms, 1);
    CHECK(weir::now() - before_wait == 50ms);
    CHECK(late.error() == std::errc::timed_out);
    auto in_time = co_await pool.submit_for(1s, 1);
    CHECK(in_time);
    CHECK(elapsed() == 100ms);
    // A submit that is cancelled has left nothing behind.
    for (int n = 0; n < 3; ++n) (void)co_await pool.submit(n);
    auto stopped = co_await weir::as_result(weir::with_timeout(10ms, pool.submit(1)));
    CHECK(stopped.error() == std::errc::timed_out);
    const std::uint64_t before = pool.stats().accepted;
    CHECK(before == 108);
    const std::size_t abandoned = co_await pool.shutdown(shutdown_mode::cancel);
    CHECK(abandoned == 104);
    CHECK(pool.stats().refused == 12);
    test::check_exact(pool.stats());
  });
}

TEST_CASE("worker_pool: what a refused try_submit was given is where it was; what a job is given may be only moved") {
  simulate([]() -> weir::task<> {
    auto take = [](std::unique_ptr<int> n, std::string s) -> weir::task<std::unique_ptr<int>> {
      co_await weir::sleep_for(1ms);
      *n += static_cast<int>(s.size());
      co_return std::move(n);
    };
    worker_pool pool{take, {.workers = 1, .queue = 1}};
    auto first = std::make_unique<int>(1);
    auto ticket = pool.try_submit(std::move(first), "four");
    CHECK(ticket);
    CHECK(!first);
    auto second = std::make_unique<int>(2);
    std::string text = "a text that is too long to stand in the string itself";
    CHECK(!pool.try_submit(std::move(second), std::move(text)));
    CHECK(*second == 2);
    CHECK(text.size() > 20);  // NOLINT(bugprone-use-after-move): given back
    auto got = co_await std::move(ticket);
    CHECK(*got == 5);
    co_await pool.shutdown();
  });
}

TEST_CASE("worker_pool: jobs that return nothing, or a reference, and take references") {
  simulate([]() -> weir::task<> {
    std::vector<int> numbers{1, 2, 3};
    auto at = [&](std::size_t i) -> int& { return numbers.at(i); };
    worker_pool<int&(std::size_t)> pool{at, {.workers = 2}};
    auto ticket = co_await pool.submit(1u);
    int& second = co_await std::move(ticket);
    CHECK(&second == &numbers[1]);
    auto wrong = co_await pool.submit(7u);
    auto r = co_await weir::as_result(std::move(wrong));
    CHECK_THROWS_AS(std::rethrow_exception(r.exception()), std::out_of_range);
    co_await pool.shutdown();

    auto nothing = [](const std::string& s, int& n) {
      n += static_cast<int>(s.size());
      if (n > 5) throw std::runtime_error("more than five");
    };
    worker_pool<void(std::string, int)> silent{nothing, {.workers = 1}};
    auto fine = co_await silent.submit("abc", 1);
    co_await std::move(fine);
    auto thrown = co_await silent.submit("abc", 3);
    auto error = co_await weir::as_result(std::move(thrown));
    CHECK(test::unobserved::what(error.exception()) == "more than five");
    co_await silent.shutdown();
  });
}

TEST_CASE("worker_pool: a ticket may be dropped, its wait cancelled, and its end be a case of a select") {
  simulate([]() -> weir::task<> {
    worker_pool pool{after_100ms, {.workers = 2}};
    {
      auto dropped = co_await pool.submit(1);
    }
    auto ticket = co_await pool.submit(2);
    auto given_up = co_await weir::as_result(weir::with_timeout(10ms, std::move(ticket)));
    CHECK(given_up.error() == std::errc::timed_out);
    co_await weir::sleep_for(200ms);
    CHECK(pool.stats().completed == 2);

    auto one = co_await pool.submit(3);
    CHECK(!one.done());
    auto first = co_await weir::select(one.wait(), weir::sleep_for(10ms));
    CHECK(first.index() == 1);
    auto second = co_await weir::select(one.wait(), weir::sleep_for(1s));
    CHECK(second.index() == 0);
    CHECK(one.done());
    co_await one.wait();
    const int value = co_await std::move(one);
    CHECK(value == 3);
    CHECK(!one);  // NOLINT(bugprone-use-after-move)

    weir::job_ticket<int> none;
    auto nothing = co_await weir::as_result(std::move(none));
    CHECK(nothing.is_cancelled());
    co_await pool.shutdown();
  });
}

TEST_CASE("worker_pool: a ticket outlives its pool, and a pool its runtime") {
  simulate([]() -> weir::task<> {
    weir::job_ticket<int> done, stopped;
    {
      worker_pool pool{after_100ms, {.workers = 1}};
      done = co_await pool.submit(1);
      stopped = co_await pool.submit(2);
      co_await weir::sleep_for(150ms);
    }
    const int value = co_await std::move(done);
    CHECK(value == 1);
    auto r = co_await weir::as_result(std::move(stopped));
    CHECK(r.is_cancelled());
  });
  std::unique_ptr<worker_pool<int(int)>> pool;
  weir::job_ticket<int> ticket;
  simulate([&]() -> weir::task<> {
    pool = std::make_unique<worker_pool<int(int)>>(after_100ms);
    ticket = co_await pool->submit(1);
    (void)co_await pool->submit(2);
  });
  CHECK(ticket.done());
  CHECK(pool->stats().cancelled == 2);
  CHECK(pool->state() == weir::pool_state::ended);
  CHECK(!pool->try_submit(1));
}

TEST_CASE("worker_pool: each answer goes to who asked for it (D03)") {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    const auto main = []() -> weir::task<> {
      worker_pool pool{unit, {.workers = 4, .queue = 8}};
      auto asks = [&](int who) -> weir::task<> {
        for (int n = 0; n < 10; ++n) {
          auto ticket = co_await pool.submit(100 * who + n);
          const int answer = co_await std::move(ticket);
          CHECK(answer == 100 * who + n);
        }
      };
      auto body = [&](weir::task_group& group) -> weir::task<> {
        for (int who = 0; who < 3; ++who) group.spawn(asks, who);
        co_await group.join();
      };
      co_await weir::with_task_group(body);
      co_await pool.shutdown();
    };
    simulate(main, seed);
  }
}
