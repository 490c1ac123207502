#include "pool_support.hpp"

#include <thread>

using test::elapsed;
using test::outcomes;
using test::simulate;
using weir::shutdown_mode;
using weir::worker_pool;

namespace {

weir::task<int> doubled_after_1s(int n) {
  co_await weir::sleep_for(1s);
  co_return 2 * n;
}

weir::task<int> after_50ms(int n) {
  co_await weir::sleep_for(50ms);
  co_return std::move(n);
}

weir::task<int> after_100ms(int n) {
  co_await weir::sleep_for(100ms);
  co_return std::move(n);
}

/// Every tenth job fails.
weir::task<int> nine_of_ten(int n) {
  co_await weir::sleep_for(n * 37 % 500 * 1ms);
  if (n % 10 == 3) throw std::runtime_error("job " + std::to_string(n));
  co_return std::move(n);
}

int plain(int n) {
  if (n < 0) throw std::invalid_argument("negative");
  return n + 1;
}

weir::task<int> unit(int n) {
  co_await weir::yield();
  co_return std::move(n);
}

weir::task<> await_a_ticket(weir::job_ticket<int> ticket, int& got) {
  const int value = co_await std::move(ticket);
  got = value;
}

}  // namespace

TEST_CASE("worker_pool: three workers, five jobs of a second, and who did what for how long (S63)") {
  simulate([]() -> weir::task<> {
    worker_pool pool{doubled_after_1s, {.workers = 3}};
    auto results = pool.results();
    for (int n = 1; n <= 5; ++n) {
      auto ticket = co_await pool.submit(n);
      CHECK(ticket.id() == static_cast<std::uint64_t>(n));
    }
    co_await pool.shutdown();
    CHECK(elapsed() == 2s);
    int sum = 0;
    while (auto r = co_await results.receive()) {
      CHECK(*r->outcome == 2 * static_cast<int>(r->id));
      CHECK(r->worker < 3);
      CHECK(r->took == 1s);
      sum += *r->outcome;
    }
    CHECK(sum == 30);
  });
}

TEST_CASE("worker_pool: three workers, ten jobs of 100 ms take 0.4 s; five and a thousand of 0 to 999 ms 100 s (S63)") {
  simulate([]() -> weir::task<> {
    auto body = [](auto& pool) -> weir::task<> {
      for (int n = 0; n < 10; ++n) (void)co_await pool.submit(n);
    };
    co_await weir::with_worker_pool(after_100ms, {.workers = 3, .queue = 10}, body);
    CHECK(elapsed() == 400ms);
  });
  simulate([]() -> weir::task<> {
    auto work = [](int n) -> weir::task<int> {
      co_await weir::sleep_for(n * 1ms);
      co_return std::move(n);
    };
    worker_pool pool{work, {.workers = 5, .queue = 100}};
    std::vector<weir::job_ticket<int>> tickets;
    for (int n = 0; n < 1000; ++n) tickets.push_back(co_await pool.submit(n * 7 % 1000));
    auto seen = co_await test::outcomes_of(tickets);
    CHECK(seen.values == 1000);
    CHECK(elapsed() >= 99'900ms);
    CHECK(elapsed() < 101s);
    co_await pool.shutdown();
  });
}

TEST_CASE("worker_pool: a thousand jobs of 50 ms by ten workers take 5 s, read late or early (S64, D13, D23)") {
  for (const bool late : {false, true}) {
    simulate([late]() -> weir::task<> {
      worker_pool pool{after_50ms, {.workers = 10, .queue = 100}};
      auto results = pool.results();
      int got = 0;
      auto read = [&]() -> weir::task<> {
        while (auto r = co_await results.receive()) got += r->outcome.has_value() ? 1 : 0;
      };
      auto body = [&](weir::task_group& group) -> weir::task<> {
        if (!late) group.spawn(read);
        for (int n = 0; n < 1000; ++n) (void)co_await pool.submit(n);
        co_await pool.shutdown();  // also where nobody has read a single result
        CHECK(elapsed() == 5s);
      };
      co_await weir::with_task_group(body);
      if (late) co_await read();
      CHECK(got == 1000);
      test::check_exact(pool.stats());
    });
  }
}

TEST_CASE("worker_pool: a stream ends after the last worker, and holds what came of every job (S75, P08, D31)") {
  simulate([]() -> weir::task<> {
    worker_pool pool{nine_of_ten, {.workers = 4, .queue = 8}};
    auto results = pool.results();
    for (int n = 0; n < 40; ++n) (void)co_await pool.submit(n);
    co_await weir::sleep_for(100ms);
    const std::size_t abandoned = co_await pool.shutdown(shutdown_mode::cancel);
    outcomes seen;
    std::vector<bool> met(41);
    while (auto r = co_await results.receive()) {
      CHECK(!met[r->id]);
      met[r->id] = true;
      if (r->worker == weir::job_result<int>::nobody) CHECK(r->outcome.is_cancelled());
      seen.add(r->outcome);
    }
    CHECK(seen.all() == 40);
    CHECK(seen.failed > 0);
    CHECK(seen.cancelled > 0);
    CHECK(seen.cancelled == static_cast<int>(abandoned));
  });
}

TEST_CASE("worker_pool: results are dropped when nobody reads any more, and tickets of a stream have none") {
  simulate([]() -> weir::task<> {
    worker_pool pool{after_50ms, {.workers = 2}};
    {
      auto results = pool.results();
      CHECK_THROWS_AS((void)pool.results(), std::logic_error);
    }
    auto ticket = co_await pool.submit(1);
    CHECK_THROWS_AS((void)pool.results(), std::logic_error);
    CHECK(ticket.id() == 1);
    auto r = co_await weir::as_result(std::move(ticket));
    CHECK_THROWS_AS(std::rethrow_exception(r.exception()), std::logic_error);
    co_await pool.shutdown();
    CHECK(pool.stats().completed == 1);
  });
}

TEST_CASE("worker_pool: submit waits while the queue is full, and workers end when it is closed and empty (S65)") {
  simulate([]() -> weir::task<> {
    worker_pool pool{after_100ms, {.workers = 2, .queue = 3}};
    for (int n = 0; n < 5; ++n) (void)co_await pool.submit(n);
    CHECK(elapsed() == 0s);
    CHECK(pool.stats().queued == 3);
    (void)co_await pool.submit(5);
    CHECK(elapsed() == 100ms);
    CHECK(pool.stats().workers == 2);
    co_await pool.shutdown();
    CHECK(elapsed() == 300ms);
    CHECK(pool.stats().workers == 0);
  });
}

TEST_CASE("worker_pool: without a queue a job is handed to a worker that waits") {
  simulate([]() -> weir::task<> {
    worker_pool pool{after_100ms, {.workers = 2, .queue = 0}};
    CHECK(!pool.try_submit(0));  // the workers have only been started
    (void)co_await pool.submit(1);
    (void)co_await pool.submit(2);
    CHECK(elapsed() == 0s);
    CHECK(!pool.try_submit(3));
    (void)co_await pool.submit(3);
    CHECK(elapsed() == 100ms);
    co_await pool.shutdown();
    CHECK(pool.stats().completed == 3);
  });
}

TEST_CASE("worker_pool: twenty jobs of 0 to 499 ms, a tenth fails, every result has output or error (S67)") {
  simulate([]() -> weir::task<> {
    auto run = []() -> weir::task<> {
      worker_pool pool{nine_of_ten, {.workers = 3, .queue = 10}};
      std::vector<weir::job_ticket<int>> tickets;
      for (int n = 0; n < 20; ++n) tickets.push_back(co_await pool.submit(n));
      auto seen = co_await test::outcomes_of(tickets);
      CHECK(seen.values == 18);
      CHECK(seen.failed == 2);
      co_await pool.shutdown(shutdown_mode::cancel);
      auto after = co_await pool.submit(1);
      CHECK(!after);
      CHECK(after.error() == std::errc::operation_canceled);
    };
    co_await weir::with_timeout(10s, run());
    CHECK(elapsed() < 3s);
  });
}

TEST_CASE("worker_pool: a job that is cut short has that as its result, and who submits stops (S68)") {
  simulate([]() -> weir::task<> {
    std::vector<weir::job_ticket<int>> tickets;
    auto body = [&](auto& pool) -> weir::task<> {
      for (int n = 0; n < 20; ++n) {
        auto ticket = co_await pool.submit(n);
        tickets.push_back(std::move(ticket));
      }
    };
    // 20 jobs of 100 ms by 3 workers would take 700 ms.
    auto ended = co_await weir::as_result(
        weir::with_timeout(350ms, weir::with_worker_pool(after_100ms, {.workers = 3, .queue = 4}, body)));
    CHECK(ended.error() == std::errc::timed_out);
    CHECK(elapsed() == 350ms);
    CHECK(tickets.size() == 16);  // 9 are done, 3 are under way, 4 wait
    auto seen = co_await test::outcomes_of(tickets);
    CHECK(seen.values == 9);
    CHECK(seen.cancelled == 7);
  });
  simulate([]() -> weir::task<> {
    auto body = [](auto& pool) -> weir::task<> {
      for (int n = 0; n < 20; ++n) (void)co_await pool.submit(n);
    };
    co_await weir::with_timeout(2s, weir::with_worker_pool(after_100ms, {.workers = 3, .queue = 4}, body));
    CHECK(elapsed() == 700ms);
  });
}

TEST_CASE("worker_pool: of closures, plain or tasks, that may throw (S69)") {
  simulate([]() -> weir::task<> {
    worker_pool<void()> pool{{.workers = 5, .queue = 100}};
    int done = 0;
    std::vector<weir::job_ticket<void>> tickets;
    for (int n = 0; n < 20; ++n) {
      const auto job = [&done, n]() -> weir::task<> {
        co_await weir::sleep_for(100ms);
        if (n == 7) throw std::runtime_error("seven");
        ++done;
      };
      tickets.push_back(co_await pool.submit(job));
    }
    const auto at_once = [&done] { ++done; };
    tickets.push_back(co_await pool.submit(at_once));
    const std::array<char, 200> large{};
    const auto with_much = [&done, large] { done += large[100] + 1; };
    tickets.push_back(co_await pool.submit(with_much));
    auto seen = co_await test::outcomes_of(tickets);
    CHECK(elapsed() == 400ms);
    CHECK(seen.values == 21);
    CHECK(seen.failed == 1);
    CHECK(done == 21);
    co_await pool.shutdown();
    co_await pool.shutdown();
    co_await pool.shutdown(shutdown_mode::cancel);
    CHECK(!pool.try_submit(at_once));
  });
}

TEST_CASE("worker_pool: the fifteen rules: limits, depth, a warning above 40 of 50 (S70, P62, P67)") {
  simulate([]() -> weir::task<> {
    auto work = [](int n) -> weir::task<int> {
      const weir::duration length = n == 9 ? weir::duration(1h) : weir::duration(50ms);
      co_await weir::sleep_for(length);
      co_return std::move(n);
    };
    worker_pool pool{work, {.workers = 4, .queue = 50, .job_timeout = 5s, .high_water = 41}};
    std::vector<std::size_t> warnings;
    pool.on_high_water([&](std::size_t depth) { warnings.push_back(depth); });
    std::vector<weir::job_ticket<int>> tickets;
    auto run = [&]() -> weir::task<> {
      for (int n = 0; n < 44; ++n) tickets.push_back(co_await pool.submit(n));
      CHECK(warnings.empty());
      CHECK(pool.stats().queued == 40);
      for (int n = 44; n < 100; ++n) tickets.push_back(co_await pool.submit(n));
      CHECK(warnings == std::vector<std::size_t>{41});
      auto seen = co_await test::outcomes_of(tickets);
      CHECK(seen.values == 99);
      CHECK(seen.failed == 1);
    };
    co_await weir::with_timeout(10s, run());
    const auto stats = pool.stats();
    CHECK(stats.queued == 0);
    CHECK(stats.high_waters == 1);
    CHECK(stats.most_queued == 50);
    for (int n = 100; n < 150; ++n) (void)co_await pool.submit(n);  // it has been empty since
    CHECK(warnings.size() == 2);
    CHECK_THROWS_AS(pool.on_high_water([](std::size_t) {}), std::logic_error);
    co_await pool.shutdown();
  });
}

TEST_CASE("worker_pool: jobs see the task_locals of who submitted them, and not those of who came first") {
  static weir::task_local<int> request;
  simulate([]() -> weir::task<> {
    auto async = [](int) -> weir::task<int> {
      co_await weir::sleep_for(1ms);
      const int* id = request.get();
      co_return id ? *id : 0;
    };
    auto direct = [](int) {
      const int* id = request.get();
      return id ? *id : 0;
    };
    worker_pool tasks{async, {.workers = 2}};
    worker_pool functions{direct, {.workers = 2}};
    auto asks = [&](int expected) -> weir::task<> {
      auto first = co_await tasks.submit(0);
      auto second = co_await functions.submit(0);
      const int a = co_await std::move(first);
      const int b = co_await std::move(second);
      CHECK(a == expected);
      CHECK(b == expected);
    };
    co_await request.with(7, asks(7));
    co_await asks(0);
    co_await request.with(8, asks(8));
    co_await tasks.shutdown();
    co_await functions.shutdown();
  });
}

TEST_CASE("worker_pool: what a job throws is its own affair, and options that make no sense are refused") {
  simulate([]() -> weir::task<> {
    worker_pool pool{plain, {.workers = 1}};
    auto bad = co_await pool.submit(-1);
    auto good = co_await pool.submit(1);
    auto r = co_await weir::as_result(std::move(bad));
    CHECK(test::unobserved::what(r.exception()) == "negative");
    const int value = co_await std::move(good);
    CHECK(value == 2);
    co_await pool.shutdown();

    const auto refuses = [](const weir::worker_pool_options& o) {
      CHECK_THROWS_AS(worker_pool(unit, o), std::invalid_argument);
    };
    refuses({.workers = 4, .most_workers = 3});
    refuses({.queue = 0, .order = weir::job_order::priority});
    refuses({.grow_after = 0s});
    refuses({.aging = 0s});
    refuses({.queue = 10, .high_water = 11});
    refuses({.offload = true});
    CHECK_THROWS_AS(pool.on_high_water([](std::size_t) {}), std::logic_error);
    CHECK_THROWS_AS(pool.resize(0), std::invalid_argument);
    CHECK_THROWS_AS(pool.resize(2, 1), std::invalid_argument);
    worker_pool by_default{unit};
    (void)co_await by_default.submit(1);
    CHECK(by_default.stats().workers >= 1);
    co_await by_default.shutdown();
  });
}

TEST_CASE("worker_pool: allocates nothing in a steady flow") {
  if (test::sanitized) return;
  simulate([]() -> weir::task<> {
    worker_pool functions{plain, {.workers = 3, .queue = 16}};
    worker_pool tasks{unit, {.workers = 3, .queue = 16}};
    auto cost = [&](int n) -> weir::task<std::uint64_t> {
      std::vector<weir::job_ticket<int>> tickets(16);
      const std::uint64_t before = test::allocations();
      for (int i = 0; i < n; ++i) {
        weir::job_ticket<int>& slot = tickets[static_cast<std::size_t>(i) % 16];
        if (slot) (void)co_await std::move(slot);
        slot = co_await functions.submit(i);
        (void)co_await tasks.submit(i);
      }
      co_return test::allocations() - before;
    };
    co_await cost(100);
    const auto few = co_await cost(100);
    const auto many = co_await cost(2000);
    CHECK(few == 0);
    CHECK(many == 0);
    co_await functions.shutdown();
    co_await tasks.shutdown();
  });
}

TEST_CASE("worker_pool: the numbers while it works, also for Prometheus (S136, P55)") {
  simulate([]() -> weir::task<> {
    worker_pool pool{after_100ms, {.workers = 2, .queue = 8, .time_every = 1}};
    for (int n = 0; n < 6; ++n) (void)co_await pool.submit(n);
    co_await weir::sleep_for(150ms);
    auto s = pool.stats();
    CHECK(s.accepted == 6);
    CHECK(s.completed == 2);
    CHECK(s.busy == 2);
    CHECK(s.workers == 2);
    CHECK(s.queued == 2);
    CHECK(s.utilisation() == 1.0);
    co_await pool.shutdown();
    s = pool.stats();
    CHECK(s.timed == 6);
    CHECK(s.longest_wait == 200ms);
    CHECK(s.mean_wait() == 100ms);
    CHECK(s.ran == 600ms);
    CHECK(s.utilisation() == 0.0);
    const std::string text = weir::prometheus_text(s, {{"pool", "images"}});
    CHECK(text.find("weir_pool_jobs_completed_total{pool=\"images\"} 6\n") != std::string::npos);
    CHECK(text.find("weir_pool_run_seconds_total{pool=\"images\"} 0.600000000\n") != std::string::npos);
    CHECK(std::string(weir::to_string(s.state)) == "ended");
  });
}

TEST_CASE("worker_pool: on several threads, from several threads, with tickets that wait elsewhere (S88)") {
  const int rounds = test::scaled(2000, 300);
  std::atomic<int> ran{0};
  std::vector<std::thread::id> threads(64);
  {
    weir::runtime rt{{.workers = 2}};
    std::unique_ptr<worker_pool<int(int)>> pool;
    auto make = [&]() -> weir::task<> {
      auto work = [&](int n) {
        ++ran;
        return n + 1;
      };
      pool = std::make_unique<worker_pool<int(int)>>(work, weir::worker_pool_options{.workers = 4, .queue = 64});
      auto first = co_await pool->submit(0);
      (void)co_await std::move(first);
    };
    rt.block_on(make());
    std::vector<std::thread> outside;
    for (int t = 0; t < 2; ++t) {
      outside.emplace_back([&, t] {
        for (int n = 0; n < rounds; ++n) {
          if (!pool->try_submit(n) && t == 0) std::this_thread::yield();
        }
      });
    }
    auto submits = [&](int base) -> weir::task<> {
      std::vector<weir::job_ticket<int>> tickets;
      for (int n = 0; n < rounds; ++n) {
        auto ticket = co_await pool->submit(base + n);
        tickets.push_back(std::move(ticket));
        if (tickets.size() == 32) {
          for (std::size_t i = 0; i < tickets.size(); ++i) {
            const int answer = co_await std::move(tickets[i]);
            CHECK(answer == base + n - 31 + static_cast<int>(i) + 1);
          }
          tickets.clear();
        }
      }
    };
    auto main = [&]() -> weir::task<> {
      auto body = [&](weir::task_group& group) -> weir::task<> {
        for (int i = 0; i < 3; ++i) group.spawn(submits, i * 1'000'000);
        co_await group.join();
      };
      co_await weir::with_task_group(body);
    };
    rt.block_on(main());
    for (std::thread& t : outside) t.join();
    auto end = [&]() -> weir::task<> {
      co_await pool->shutdown();
      const auto s = pool->stats();
      test::check_exact(s);
      CHECK(s.accepted + s.refused == static_cast<std::uint64_t>(5 * rounds + 1));
      CHECK(s.completed == static_cast<std::uint64_t>(ran.load()));
    };
    rt.block_on(end());
  }
}

TEST_CASE("worker_pool: on a confined worker") {
  auto main = []() -> weir::task<> {
    worker_pool pool{plain, {.workers = 2, .queue = 4}};
    int got = 0;
    auto body = [&](weir::task_group& group) -> weir::task<> {
      for (int n = 0; n < 100; ++n) {
        auto ticket = co_await pool.submit(n);
        group.spawn(await_a_ticket, std::move(ticket), std::ref(got));
      }
      co_await group.join();
    };
    co_await weir::with_task_group(body);
    CHECK(got > 0);
    co_await pool.shutdown();
    CHECK(pool.stats().completed == 100);
  };
  weir::run(main(), {.workers = 1, .confined = true});
}
