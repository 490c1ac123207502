#include "pool_support.hpp"

using test::elapsed;
using test::simulate;
using weir::worker_pool;

namespace {

weir::task<int> after_100ms(int n) {
  co_await weir::sleep_for(100ms);
  co_return std::move(n);
}

weir::task<int> after_1s(int n) {
  co_await weir::sleep_for(1s);
  co_return std::move(n);
}

weir::task<int> hops(int n) {
  for (int i = 0; i < n % 4; ++i) co_await weir::yield();
  co_return std::move(n);
}

}  // namespace

TEST_CASE(
    "worker_pool: a full queue adds a worker, five idle seconds end one, never beyond the bounds (S72, D24, D25)") {
  simulate([]() -> weir::task<> {
    worker_pool pool{after_1s, {.workers = 2, .most_workers = 4, .queue = 3, .grow_after = 1h, .idle = 5s}};
    for (int n = 0; n < 5; ++n) (void)co_await pool.submit(n);
    CHECK(pool.stats().workers == 2);  // two run, three wait: nobody found it full
    (void)co_await pool.submit(5);
    CHECK(elapsed() == 0s);  // the third worker makes room
    CHECK(pool.stats().workers == 3);
    (void)co_await pool.submit(6);
    CHECK(pool.stats().workers == 4);
    CHECK(elapsed() == 0s);
    (void)co_await pool.submit(7);
    CHECK(pool.stats().workers == 4);
    CHECK(elapsed() == 1s);
    co_await weir::sleep_for(5s);  // the last jobs end at 2 s
    CHECK(pool.stats().completed == 8);
    CHECK(pool.stats().workers == 4);
    co_await weir::sleep_for(1100ms);
    CHECK(pool.stats().workers == 2);
    co_await weir::sleep_for(1h);
    CHECK(pool.stats().workers == 2);
    CHECK(pool.stats().most_workers == 4);
    auto again = co_await pool.submit(1);
    const int value = co_await std::move(again);
    CHECK(value == 1);
    co_await pool.shutdown();
  });
}

TEST_CASE("worker_pool: it grows when jobs have waited too long, whether or not somebody submits (S73, S89, D26)") {
  simulate([]() -> weir::task<> {
    // 20 jobs of 1 s: two at once would take 10 s. Nobody submits meanwhile, and no worker comes back before 1 s.
    worker_pool pool{after_1s, {.workers = 2, .most_workers = 10, .queue = 20, .grow_after = 100ms, .idle = 30s}};
    for (int n = 0; n < 20; ++n) (void)co_await pool.submit(n);
    CHECK(pool.stats().workers == 2);  // counted once
    co_await weir::sleep_for(99ms);
    CHECK(pool.stats().workers == 2);
    co_await weir::sleep_for(52ms);
    CHECK(pool.stats().workers == 10);
    CHECK(pool.stats().busy == 10);
    co_await weir::sleep_for(3s);
    CHECK(pool.stats().completed == 20);
    co_await weir::sleep_for(20s);
    CHECK(pool.stats().workers == 10);
    co_await weir::sleep_for(11s);  // those beyond the least number have had nothing to do for 30 s
    CHECK(pool.stats().workers == 2);
    co_await pool.shutdown();
  });
}

TEST_CASE("worker_pool: no more workers than are late jobs, and as many as the load needs (S89, S85)") {
  simulate([]() -> weir::task<> {
    // 100 jobs a second of 100 ms each: by Little's law 10 of them are under way.
    worker_pool pool{after_100ms, {.workers = 1, .most_workers = 100, .queue = 1000, .grow_after = 50ms, .idle = 1s}};
    for (int n = 0; n < 1000; ++n) {
      (void)co_await pool.submit(n);
      co_await weir::sleep_for(10ms);
    }
    CHECK(pool.stats().workers >= 10);
    CHECK(pool.stats().workers <= 20);
    CHECK(pool.stats().queued <= 5);
    const std::size_t busy_times = pool.stats().workers;
    for (int n = 0; n < 100; ++n) {  // a tenth of the load
      (void)co_await pool.submit(n);
      co_await weir::sleep_for(100ms);
    }
    CHECK(pool.stats().workers < busy_times);
    co_await weir::sleep_for(2s);
    CHECK(pool.stats().workers == 1);
    co_await pool.shutdown();
    CHECK(pool.stats().completed == 1100);
  });
}

TEST_CASE("worker_pool: the number of workers stays between its bounds under every order of events (D24, D26)") {
  for (std::uint64_t seed = 1; seed <= static_cast<std::uint64_t>(test::scaled(1000, 200)); ++seed) {
    const auto main = []() -> weir::task<> {
      worker_pool pool{hops, {.workers = 2, .most_workers = 5, .queue = 2, .grow_after = 3us, .idle = 2us}};
      bool inside = true;
      auto submits = [&](int who) -> weir::task<> {
        for (int n = 0; n < 8; ++n) {
          (void)co_await pool.submit(who + n);
          const std::size_t workers = pool.stats().workers;
          inside = inside && workers >= 2 && workers <= 5;
          if ((who + n) % 3 == 0) co_await weir::sleep_for(2us);
        }
      };
      auto body = [&](weir::task_group& group) -> weir::task<> {
        for (int who = 0; who < 4; ++who) group.spawn(submits, who);
        co_await group.join();
      };
      co_await weir::with_task_group(body);
      co_await weir::sleep_for(1ms);
      CHECK(inside);
      CHECK(pool.stats().workers == 2);
      co_await pool.shutdown();
      CHECK(pool.stats().completed == 32);
      CHECK(pool.stats().most_workers <= 5);
    };
    simulate(main, seed);
  }
}

TEST_CASE("worker_pool: resized while it works, up and down, idle or busy, before and after") {
  simulate([]() -> weir::task<> {
    worker_pool pool{after_1s, {.workers = 2, .queue = 20}};
    pool.resize(3);
    for (int n = 0; n < 12; ++n) (void)co_await pool.submit(n);
    CHECK(pool.stats().workers == 3);
    co_await test::settle();
    CHECK(pool.stats().busy == 3);
    pool.resize(6);
    co_await test::settle();
    CHECK(pool.stats().busy == 6);
    pool.resize(1);
    CHECK(pool.stats().workers == 6);  // each ends its job first
    co_await weir::sleep_for(1100ms);
    CHECK(pool.stats().workers == 1);
    CHECK(pool.stats().busy == 1);
    pool.resize(4);
    co_await weir::sleep_for(10s);
    CHECK(pool.stats().completed == 12);
    CHECK(pool.stats().workers == 4);  // all of them wait
    pool.resize(2);
    co_await test::settle();
    CHECK(pool.stats().workers == 2);
    auto ticket = co_await pool.submit(1);
    const int value = co_await std::move(ticket);
    CHECK(value == 1);
    pool.resize(1, 3);
    co_await weir::sleep_for(6s);
    CHECK(pool.stats().workers == 1);  // one more than the least, and idle
    co_await pool.shutdown();
    pool.resize(5);
    CHECK(pool.stats().workers == 0);
    CHECK(pool.stats().accepted == 13);
  });
}

TEST_CASE("worker_pool: resize races with jobs and shutdown") {
  for (std::uint64_t seed = 1; seed <= static_cast<std::uint64_t>(test::scaled(500, 100)); ++seed) {
    const auto main = [seed]() -> weir::task<> {
      test::dice dice(seed);
      worker_pool pool{hops, {.workers = 2, .queue = dice.roll(3)}};
      std::vector<weir::job_ticket<int>> tickets;
      auto submits = [&]() -> weir::task<> {
        for (int n = 0; n < 12; ++n) tickets.push_back(co_await pool.submit(n));
      };
      auto resizes = [&]() -> weir::task<> {
        for (int n = 0; n < 6; ++n) {
          pool.resize(1 + dice.roll(4));
          co_await weir::yield();
        }
      };
      auto body = [&](weir::task_group& group) -> weir::task<> {
        group.spawn(submits);
        group.spawn(resizes);
        co_await group.join();
      };
      co_await weir::with_task_group(body);
      co_await pool.shutdown();
      auto seen = co_await test::outcomes_of(tickets);
      CHECK(seen.values == 12);
      test::check_exact(pool.stats());
    };
    simulate(main, seed);
  }
}
