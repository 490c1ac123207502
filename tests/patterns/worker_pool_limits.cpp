#include "pool_support.hpp"

#include <thread>

// Limits to how often, how long and where jobs run.

using test::elapsed;
using test::simulate;
using weir::shutdown_mode;
using weir::worker_pool;

TEST_CASE("worker_pool: a job that takes longer than its limit fails, and its worker goes on (S124, D20, D51)") {
  simulate([]() -> weir::task<> {
    int running = 0;
    int most = 0;
    auto work = [&](int n) -> weir::task<int> {
      struct inside {
        explicit inside(int& count) : in(count) { ++in; }
        inside(const inside&) = delete;
        inside& operator=(const inside&) = delete;
        ~inside() { --in; }
        int& in;
      };
      const inside here(running);
      most = std::max(most, running);
      const weir::duration length = n % 2 == 0 ? weir::duration(1h) : weir::duration(1s);
      co_await weir::sleep_for(length);
      co_return std::move(n);
    };
    worker_pool pool{work, {.workers = 3, .queue = 12, .job_timeout = 5s}};
    std::vector<weir::job_ticket<int>> tickets;
    for (int n = 0; n < 12; ++n) tickets.push_back(co_await pool.submit(n));
    for (int n = 0; n < 12; ++n) {
      auto r = co_await weir::as_result(std::move(tickets[static_cast<std::size_t>(n)]));
      CHECK(r.has_value() == (n % 2 == 1));
      if (n % 2 == 0) CHECK(r.error() == std::errc::timed_out);
    }
    CHECK(most == 3);  // what timed out has been stopped, and runs nowhere else
    CHECK(running == 0);
    co_await pool.shutdown();
    CHECK(pool.stats().failed == 6);
  });
}

TEST_CASE("worker_pool: a limit in the workers: each job waits for a token under the pool's token (S76, S83)") {
  simulate([]() -> weir::task<> {
    weir::rate_limiter limiter(100, 1s, 1);
    auto insert = [](int n) -> weir::task<int> {
      co_await weir::sleep_for(5ms);
      co_return std::move(n);
    };
    worker_pool pool{insert, {.workers = 10, .queue = 20, .start_rate = &limiter}};
    for (int n = 0; n < 500; ++n) (void)co_await pool.submit(n);
    CHECK(pool.stats().queued == 20);
    co_await weir::sleep_for(100ms);
    co_await weir::sleep_until(test::at(5s));
    CHECK(pool.stats().completed >= 499);
    co_await pool.shutdown();
    CHECK(elapsed() >= 4990ms);  // 499 gaps of 10 ms
    CHECK(elapsed() <= 5005ms);

    worker_pool stopped{insert, {.workers = 10, .queue = 20, .start_rate = &limiter}};
    for (int n = 0; n < 20; ++n) (void)co_await stopped.submit(n);
    co_await test::settle();
    const std::size_t abandoned = co_await stopped.shutdown(shutdown_mode::cancel);
    CHECK(abandoned >= 19);
    CHECK(limiter.counters().waiting == 0);
    test::check_exact(stopped.stats());
  });
}

TEST_CASE("worker_pool: a limit in the workers of a pool with an order: the best job when the token comes") {
  simulate([]() -> weir::task<> {
    weir::rate_limiter limiter(10, 1s, 1);
    std::vector<int> begun;
    auto work = [&](int n) { begun.push_back(n); };
    worker_pool pool{work, {.workers = 2, .queue = 20, .order = weir::job_order::priority, .start_rate = &limiter}};
    (void)co_await pool.submit(0);
    (void)co_await pool.submit(1);
    (void)co_await pool.submit(2);
    co_await weir::sleep_for(150ms);  // 0 and 1 have begun, and a worker waits with a token's right for 2
    (void)co_await pool.submit_with({.priority = 9}, 3);
    co_await pool.shutdown();
    CHECK(begun == std::vector<int>{0, 1, 3, 2});

    worker_pool stopped{work, {.workers = 2, .queue = 20, .order = weir::job_order::priority, .start_rate = &limiter}};
    for (int n = 0; n < 9; ++n) (void)co_await stopped.submit(n);
    co_await test::settle();
    const std::size_t abandoned = co_await stopped.shutdown(shutdown_mode::cancel);
    CHECK(abandoned == 9);
    test::check_exact(stopped.stats());
  });
}

TEST_CASE("worker_pool: a limit at submit: first a token, then a place (S77, D32, D33)") {
  simulate([]() -> weir::task<> {
    weir::rate_limiter limiter(1, 2s, 1);  // less than one a second
    auto work = [](int n) { return n; };
    worker_pool pool{work, {.workers = 2, .queue = 4, .submit_rate = &limiter}};
    for (int n = 0; n < 4; ++n) (void)co_await pool.submit(n);
    CHECK(elapsed() == 6s);
    auto refused = pool.try_submit(4);
    CHECK(refused.error() == std::errc::resource_unavailable_try_again);
    auto hasty = co_await pool.submit_for(1s, 4);
    CHECK(hasty.error() == std::errc::timed_out);
    CHECK(elapsed() <= 7s);
    // The caller's own token reaches into the wait.
    auto stopped = co_await weir::as_result(weir::with_timeout(500ms, pool.submit(5)));
    CHECK(!stopped.has_value());
    CHECK(limiter.counters().waiting == 0);
    auto body = [&](weir::task_group& group) -> weir::task<> {
      auto waits = [&]() -> weir::task<> {
        (void)co_await pool.submit(6);
        auto ticket = co_await pool.submit(7);
        CHECK(!ticket);
      };
      auto waiting = group.spawn(waits);
      co_await weir::sleep_for(2s);
      co_await pool.shutdown();
      co_await test::settle();
      CHECK(waiting.done());  // it does not wait for a token that is of no use
    };
    co_await weir::with_task_group(body);
    test::check_exact(pool.stats());
  });
}

TEST_CASE("worker_pool: images: as many at once as cores, on threads of their own (S81, P56)") {
  std::atomic<int> at_once{0};
  std::atomic<int> most{0};
  std::atomic<int> on_a_worker{0};
  std::atomic<std::thread::id> main_thread{std::this_thread::get_id()};
  const int images = test::scaled(10'000, 1'000);
  auto main = [&]() -> weir::task<> {
    main_thread = std::this_thread::get_id();
    auto filter = [&](int seed) {
      const int now = ++at_once;
      int seen = most.load();
      while (seen < now && !most.compare_exchange_weak(seen, now)) {
      }
      if (std::this_thread::get_id() == main_thread.load()) ++on_a_worker;
      std::vector<unsigned char> bitmap(1024, static_cast<unsigned char>(seed));
      unsigned sum = 0;
      for (const unsigned char c : bitmap) sum += c;
      --at_once;
      if (seed % 1000 == 999) throw std::runtime_error("not an image");
      return sum;
    };
    worker_pool pool{filter, {.workers = 2, .queue = 100, .offload = true}};
    auto results = pool.results();
    int right = 0, failed = 0;
    auto body = [&](weir::task_group& group) -> weir::task<> {
      auto reads = [&]() -> weir::task<> {
        while (auto r = co_await results.receive()) {
          if (!r->outcome.has_value()) {
            ++failed;
          } else if (*r->outcome == 1024u * static_cast<unsigned char>(r->id - 1)) {
            ++right;
          }
        }
      };
      group.spawn(reads);
      for (int n = 0; n < images; ++n) (void)co_await pool.submit(n);
      co_await pool.shutdown();
      co_await group.join();
    };
    co_await weir::with_task_group(body);
    CHECK(right == images - images / 1000);
    CHECK(failed == images / 1000);
  };
  weir::run(main(), {.workers = 1});
  CHECK(most <= 2);
  CHECK(on_a_worker == 0);
}
