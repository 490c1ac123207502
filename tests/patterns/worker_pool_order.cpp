#include "pool_support.hpp"

using test::elapsed;
using test::simulate;
using weir::job_order;
using weir::submit_options;
using weir::worker_pool;

namespace {

using order = std::vector<int>;

/// A pool of one worker whose jobs of 10 ms are written down as they begin.
class writer {
 public:
  explicit writer(const weir::worker_pool_options& options) : pool([this](int n) { return write(n); }, options) {}
  order begun;
  worker_pool<int(int)> pool;

 private:
  weir::task<int> write(int n) {
    begun.push_back(n);
    co_await weir::sleep_for(10ms);
    co_return std::move(n);
  }
};

}  // namespace

TEST_CASE("worker_pool: by priority, and first come, first served among equals, also at shutdown (S74, D30)") {
  simulate([]() -> weir::task<> {
    writer w({.workers = 1, .queue = 20, .order = job_order::priority});
    (void)co_await w.pool.submit(0);
    co_await test::settle();  // it runs
    for (int n = 1; n <= 12; ++n) (void)co_await w.pool.submit_with(submit_options{.priority = n % 3}, n);
    co_await w.pool.shutdown();
    CHECK(w.begun == order{0, 2, 5, 8, 11, 1, 4, 7, 10, 3, 6, 9, 12});
  });
}

TEST_CASE("worker_pool: an ordered queue has a bound, and who waits for room gets it in turn (D30)") {
  simulate([]() -> weir::task<> {
    writer w({.workers = 1, .queue = 3, .order = job_order::priority});
    for (int n = 0; n < 4; ++n) (void)co_await w.pool.submit(n);
    CHECK(!w.pool.try_submit_with(submit_options{.priority = 99}, 99));
    CHECK(elapsed() == 0s);
    (void)co_await w.pool.submit_with(submit_options{.priority = 5}, 4);
    CHECK(elapsed() == 10ms);
    auto late = co_await w.pool.submit_with(submit_options{.priority = 9, .patience = 5ms}, 5);
    CHECK(late.error() == std::errc::timed_out);
    co_await w.pool.shutdown();
    CHECK(w.begun == order{0, 1, 4, 2, 3});
  });
}

TEST_CASE("worker_pool: waiting is worth a level each time, so that the low ones do not starve (S74, P63, D30)") {
  for (const weir::duration aging : {weir::duration(100ms), weir::duration::max()}) {
    simulate([aging]() -> weir::task<> {
      writer w({.workers = 1, .queue = 4, .order = job_order::priority, .aging = aging});
      (void)co_await w.pool.submit(0);
      co_await test::settle();
      (void)co_await w.pool.submit_with(submit_options{.priority = 0}, -1);
      const weir::time_point since = weir::now();
      weir::duration waited{};
      for (int n = 1; n <= 200; ++n) {  // there is always one that is three levels above
        (void)co_await w.pool.submit_with(submit_options{.priority = 3}, n);
        if (waited == 0s && std::find(w.begun.begin(), w.begun.end(), -1) != w.begun.end())
          waited = weir::now() - since;
      }
      if (aging == 100ms) {
        CHECK(waited >= 300ms);  // three levels
        CHECK(waited <= 350ms);  // and those that came before that: as many as the queue holds
      } else {
        CHECK(waited == 0s);
      }
      co_await w.pool.shutdown();
      CHECK(w.begun.size() == 202);
    });
  }
}

TEST_CASE("worker_pool: priorities and times beyond every reason are no trouble") {
  simulate([]() -> weir::task<> {
    writer w({.workers = 1, .queue = 8, .order = job_order::priority, .aging = weir::duration::max() - 1ns});
    (void)co_await w.pool.submit(0);
    co_await test::settle();
    const int least = std::numeric_limits<int>::min();
    const int most = std::numeric_limits<int>::max();
    (void)co_await w.pool.submit_with(submit_options{.priority = least}, 3);
    (void)co_await w.pool.submit_with(submit_options{.priority = 0}, 2);
    (void)co_await w.pool.submit_with(submit_options{.priority = most}, 1);
    co_await w.pool.shutdown();
    CHECK(w.begun == order{0, 1, 2, 3});
  });
}

TEST_CASE("worker_pool: the earliest deadline first; one that has come is not begun, one that comes stops (S180)") {
  simulate([]() -> weir::task<> {
    writer w({.workers = 1, .queue = 20, .order = job_order::deadline, .aging = 1s});
    (void)co_await w.pool.submit(0);
    co_await test::settle();
    const auto due = [](weir::duration since) { return submit_options{.deadline = test::at(since)}; };
    (void)co_await w.pool.submit_with(due(200ms), 4);
    (void)co_await w.pool.submit(5);  // as if it were due in 1 s
    (void)co_await w.pool.submit_with(due(2s), 6);
    (void)co_await w.pool.submit_with(due(100ms), 2);
    (void)co_await w.pool.submit_with(due(100ms), 3);
    auto first = co_await w.pool.submit_with(due(15ms), 1);    // begins at 10 ms, would end at 20 ms
    auto expired = co_await w.pool.submit_with(due(5ms), 99);  // has come when the worker is free
    auto r = co_await weir::as_result(std::move(expired));
    CHECK(r.error() == std::errc::timed_out);
    auto cut = co_await weir::as_result(std::move(first));
    CHECK(cut.error() == std::errc::timed_out);
    CHECK(elapsed() == 15ms);
    co_await w.pool.shutdown();
    CHECK(w.begun == order{0, 1, 2, 3, 4, 5, 6});
    CHECK(w.pool.stats().expired == 1);
    CHECK(w.pool.stats().failed == 2);
  });
}

TEST_CASE("worker_pool: who waits for room waits no longer than the job's deadline") {
  simulate([]() -> weir::task<> {
    writer w({.workers = 1, .queue = 1});
    (void)co_await w.pool.submit(0);
    (void)co_await w.pool.submit(1);
    auto late = co_await w.pool.submit_with(submit_options{.deadline = test::at(4ms)}, 2);
    CHECK(elapsed() == 4ms);
    CHECK(late.error() == std::errc::timed_out);
    co_await w.pool.shutdown();
  });
}

TEST_CASE("worker_pool: ordered, with every order of submits, cancels and ends: nobody sleeps for ever (D29)") {
  for (std::uint64_t seed = 1; seed <= static_cast<std::uint64_t>(test::scaled(500, 100)); ++seed) {
    const auto main = [seed]() -> weir::task<> {
      test::dice dice(seed);
      auto work = [](int n) -> weir::task<int> {
        if (n % 3 == 0) co_await weir::yield();
        co_return std::move(n);
      };
      worker_pool pool{work, {.workers = 1 + dice.roll(3), .queue = 1 + dice.roll(3), .order = job_order::priority}};
      std::vector<weir::job_ticket<int>> tickets;
      auto submits = [&](int who) -> weir::task<> {
        for (int n = 0; n < 6; ++n) {
          auto ticket = co_await pool.submit_with(submit_options{.priority = static_cast<int>(dice.roll(4))}, who + n);
          tickets.push_back(std::move(ticket));
        }
      };
      const bool cancels = dice.roll(2) == 0;
      auto body = [&](weir::task_group& group) -> weir::task<> {
        for (int who = 0; who < 3; ++who) group.spawn(submits, who);
        if (cancels) {
          for (unsigned n = dice.roll(12); n != 0; --n) co_await weir::yield();
          co_await pool.shutdown(weir::shutdown_mode::cancel);
        }
        co_await group.join();
      };
      co_await weir::with_task_group(body);
      co_await pool.shutdown();
      auto seen = co_await test::outcomes_of(tickets);
      CHECK(seen.all() == 18);
      if (!cancels) CHECK(seen.values == 18);
      test::check_exact(pool.stats());
      CHECK(pool.stats().completed == static_cast<std::uint64_t>(seen.values));
    };
    simulate(main, seed);
  }
}
