#include "pool_support.hpp"

using test::elapsed;
using test::simulate;
using weir::shutdown_mode;
using weir::worker_pool;

namespace {

/// What a middleware is: an object through which jobs run. It repeats what fails.
class repeater {
 public:
  explicit repeater(int attempts) : attempts_(attempts) {}
  template <class F>
  std::invoke_result_t<F&> run(F job) {
    for (int attempt = 1;; ++attempt) {
      ++calls;
      auto r = co_await weir::as_result(job());
      if (r.has_value() || attempt == attempts_) co_return std::move(r).value();
      co_await weir::sleep_for(10ms);
    }
  }
  int calls = 0;

 private:
  const int attempts_;
};

/// Lets nothing through after so many failures in a row.
class fuse {
 public:
  explicit fuse(int failures) : left_(failures) {}
  template <class F>
  std::invoke_result_t<F&> run(F job) {
    if (left_ <= 0) throw std::runtime_error("open");
    auto r = co_await weir::as_result(job());
    if (!r.has_value()) --left_;
    co_return std::move(r).value();
  }

 private:
  int left_;
};

class noting {
 public:
  noting(test::log& to, std::string name) : to_(to), name_(std::move(name)) {}
  template <class F>
  std::invoke_result_t<F&> run(F job) {
    to_.push_back("into " + name_);
    auto r = co_await weir::as_result(job());
    to_.push_back("out of " + name_);
    co_return std::move(r).value();
  }

 private:
  test::log& to_;
  std::string name_;
};

/// A server that takes so many connections.
struct server {
  int most = 0;
  int open = 0;
  int opened = 0;
  int closed = 0;
};

struct connection {
  explicit connection(server& s) : to(&s) {}
  connection(connection&& other) noexcept : to(std::exchange(other.to, nullptr)) {}
  connection& operator=(connection&&) = delete;
  ~connection() {
    if (to) --to->open;
  }
  server* to;
  int used = 0;
};

auto connecting(server& s) {
  return [&s]() -> weir::task<connection> {
    co_await weir::sleep_for(5ms);
    if (s.open >= s.most) throw std::runtime_error("too many connections");
    ++s.open;
    ++s.opened;
    co_return connection(s);
  };
}
auto disconnecting(server& s) {
  return [&s](connection&) -> weir::task<> {
    co_await weir::sleep_for(3ms);
    ++s.closed;
  };
}

weir::task<int> query(connection& c, int n) {
  ++c.used;
  co_await weir::sleep_for(10ms);
  if (n == 13) throw std::runtime_error("thirteen");
  co_return std::move(n);
}

}  // namespace

TEST_CASE("worker_pool: each worker has a connection, uses it for all its jobs, and closes it (S79, P57, P69)") {
  for (const shutdown_mode mode : {shutdown_mode::drain, shutdown_mode::cancel}) {
    simulate([mode]() -> weir::task<> {
      server s{.most = 4};
      worker_pool pool{query, {.workers = 4, .queue = 100}, weir::worker_state(connecting(s), disconnecting(s))};
      std::vector<weir::job_ticket<int>> tickets;
      for (int n = 0; n < 40; ++n) tickets.push_back(co_await pool.submit(n));
      co_await weir::sleep_for(50ms);
      CHECK(s.open == 4);
      co_await pool.shutdown(mode);
      CHECK(s.opened == 4);
      CHECK(s.closed == 4);  // shielded from the cancel
      CHECK(s.open == 0);
      auto seen = co_await test::outcomes_of(tickets);
      CHECK(seen.all() == 40);
      if (mode == shutdown_mode::drain) CHECK(seen.values == 39);
      if (mode == shutdown_mode::drain) CHECK(seen.failed == 1);
    });
  }
}

TEST_CASE("worker_pool: a worker that cannot open its connection leaves the jobs to those that can (S79)") {
  simulate([]() -> weir::task<> {
    server s{.most = 3};
    worker_pool pool{
        query, {.workers = 10, .queue = 100, .reopen_after = 1s}, weir::worker_state(connecting(s), disconnecting(s))};
    std::vector<weir::job_ticket<int>> tickets;
    for (int n = 20; n < 60; ++n) tickets.push_back(co_await pool.submit(n));
    auto seen = co_await test::outcomes_of(tickets);
    CHECK(seen.values == 40);
    CHECK(pool.stats().workers == 3);
    CHECK(pool.stats().open_failures == 7);
    s.most = 10;
    (void)co_await pool.submit(1);
    CHECK(pool.stats().workers == 3);  // not yet
    co_await weir::sleep_for(1s);
    (void)co_await pool.submit(1);
    CHECK(pool.stats().workers == 10);
    co_await weir::sleep_for(1s);
    CHECK(s.open == 10);
    co_await pool.shutdown();
    CHECK(s.open == 0);
  });
}

TEST_CASE("worker_pool: when no worker can open its connection every job is told why, until one can (S79)") {
  simulate([]() -> weir::task<> {
    server s{.most = 0};
    worker_pool pool{query, {.workers = 2, .queue = 10}, weir::worker_state(connecting(s), disconnecting(s))};
    for (int round = 0; round < 3; ++round) {
      std::vector<weir::job_ticket<int>> tickets;
      for (int n = 0; n < 5; ++n) tickets.push_back(co_await pool.submit(n));
      for (auto& ticket : tickets) {
        auto r = co_await weir::as_result(std::move(ticket));
        CHECK(test::unobserved::what(r.exception()) == "too many connections");
      }
    }
    CHECK(pool.stats().workers == 0);
    CHECK(pool.stats().failed == 15);
    CHECK(pool.state() == weir::pool_state::running);
    s.most = 1;
    auto fine = co_await pool.submit(1);
    const int value = co_await std::move(fine);
    CHECK(value == 1);
    s.most = 0;
    co_await pool.shutdown();
    test::check_exact(pool.stats());
  });
  simulate([]() -> weir::task<> {  // a state without a closing, opened by a plain function, for plain jobs
    int made = 0;
    auto open = [&made] { return ++made; };
    auto use = [](int& mine, int n) { return 100 * mine + n; };
    worker_pool pool{use, {.workers = 1}, weir::worker_state(open)};
    auto ticket = co_await pool.submit(1);
    const int value = co_await std::move(ticket);
    CHECK(value == 101);
    co_await pool.shutdown();
  });
}

TEST_CASE("worker_pool: middleware in the order in which it is written") {
  simulate([]() -> weir::task<> {
    test::log seen;
    noting outer(seen, "outer");
    noting inner(seen, "inner");
    auto async = [&](int n) -> weir::task<int> {
      seen.emplace_back("job");
      co_return std::move(n);
    };
    auto direct = [&](int) { seen.emplace_back("function"); };
    worker_pool pool{async, {.workers = 1}, outer, inner};
    auto ticket = co_await pool.submit(1);
    const int value = co_await std::move(ticket);
    CHECK(value == 1);
    CHECK(seen == test::log{"into outer", "into inner", "job", "out of inner", "out of outer"});
    co_await pool.shutdown();
    seen.clear();
    worker_pool functions{direct, {.workers = 1}, inner};
    auto done = co_await functions.submit(1);
    co_await std::move(done);
    CHECK(seen == test::log{"into inner", "function", "out of inner"});
    co_await functions.shutdown();
    seen.clear();
    worker_pool<int()> closures{{.workers = 1}, inner};
    auto third = co_await closures.submit([] { return 3; });
    const int three = co_await std::move(third);
    CHECK(three == 3);
    CHECK(seen == test::log{"into inner", "out of inner"});
    co_await closures.shutdown();
  });
}

TEST_CASE("worker_pool: jobs that fail are repeated, and then go to the dead letters (S91)") {
  simulate([]() -> weir::task<> {
    int calls = 0;
    auto work = [&](std::string what) -> weir::task<std::size_t> {
      ++calls;
      co_await weir::sleep_for(1ms);
      if (what == "bad" || (what == "flaky" && calls < 3)) throw std::runtime_error("no " + what);
      co_return what.size();
    };
    test::log dead;
    auto keep = [&](const std::string& what, const std::exception_ptr& why) {
      dead.push_back(what + ": " + test::unobserved::what(why));
    };
    repeater retry(3);
    worker_pool pool{work, {.workers = 1, .queue = 10}, weir::failed_jobs(keep), retry};
    auto flaky = co_await pool.submit("flaky");
    const std::size_t five = co_await std::move(flaky);
    CHECK(five == 5);  // the third call got the argument too
    CHECK(calls == 3);
    CHECK(dead.empty());
    auto bad = co_await pool.submit("bad");
    auto r = co_await weir::as_result(std::move(bad));
    CHECK(!r.has_value());
    CHECK(dead == test::log{"bad: no bad"});  // before the ticket tells
    CHECK(calls == 6);
    co_await pool.shutdown();
    CHECK(pool.stats().failed == 1);
    CHECK(pool.stats().completed == 1);
  });
}

TEST_CASE("worker_pool: dead letters into a channel wait for room, and what goes wrong there is not hidden") {
  test::unobserved errors;
  test::simulate_reporting([]() -> weir::task<> {
    auto work = [](int n) -> int { throw std::runtime_error("job " + std::to_string(n)); };
    weir::channel<int> dead(1);
    auto keep = [&](int n, const std::exception_ptr&) -> weir::task<> {
      if (n == 3) throw std::runtime_error("lost");
      co_await dead.send(std::move(n));
    };
    worker_pool pool{work, {.workers = 1, .queue = 10}, weir::failed_jobs(keep)};
    for (int n = 0; n < 4; ++n) (void)co_await pool.submit(n);
    co_await weir::sleep_for(1ms);
    CHECK(pool.stats().failed == 1);  // the second one waits for room
    for (int n = 0; n < 3; ++n) {
      auto got = co_await dead.receive();
      CHECK(*got == n);
    }
    co_await pool.shutdown();
    CHECK(pool.stats().failed == 4);
  });
  CHECK(test::unobserved::take() == test::log{"lost"});
}

TEST_CASE("worker_pool: a repeated job whose argument can only be moved says so") {
  simulate([]() -> weir::task<> {
    auto work = [](std::unique_ptr<int> n) -> weir::task<int> {
      const std::unique_ptr<int> mine = std::move(n);
      co_await weir::sleep_for(1ms);
      if (*mine == 1) throw std::runtime_error("one");
      co_return std::move(*mine);
    };
    repeater retry(3);
    worker_pool pool{work, {.workers = 1}, retry};
    auto fine = co_await pool.submit(std::make_unique<int>(2));
    const int two = co_await std::move(fine);
    CHECK(two == 2);
    auto bad = co_await pool.submit(std::make_unique<int>(1));
    auto r = co_await weir::as_result(std::move(bad));
    CHECK_THROWS_AS(std::rethrow_exception(r.exception()), std::logic_error);
    co_await pool.shutdown();
  });
}

TEST_CASE("worker_pool: every job runs through the breaker (S123)") {
  simulate([]() -> weir::task<> {
    int calls = 0;
    auto work = [&](int n) -> weir::task<int> {
      ++calls;
      co_await weir::sleep_for(1ms);
      if (n < 100) throw std::runtime_error("down");
      co_return std::move(n);
    };
    fuse breaker(5);
    worker_pool pool{work, {.workers = 2, .queue = 50}, breaker};
    std::vector<weir::job_ticket<int>> tickets;
    for (int n = 0; n < 30; ++n) tickets.push_back(co_await pool.submit(n));
    auto seen = co_await test::outcomes_of(tickets);
    CHECK(seen.failed == 30);
    CHECK(calls <= 6);  // five, and one that was under way
    co_await pool.shutdown();
  });
}

TEST_CASE("worker_pool: ten at once, a hundred to complete, three repetitions each, then failed (S161)") {
  simulate([]() -> weir::task<> {
    std::vector<int> attempts(100);
    auto work = [&](int n) -> weir::task<int> {
      const int attempt = ++attempts[static_cast<std::size_t>(n)];
      co_await weir::sleep_for(100ms);
      if (n % 10 == 0 || (n % 10 == 1 && attempt < 4)) throw std::runtime_error("again");
      co_return std::move(n);
    };
    repeater retry(4);
    std::vector<weir::job_ticket<int>> tickets;
    auto body = [&](auto& pool) -> weir::task<> {
      for (int n = 0; n < 100; ++n) tickets.push_back(co_await pool.submit(n));
    };
    co_await weir::with_worker_pool(work, {.workers = 10, .queue = 10}, body, retry);
    auto seen = co_await test::outcomes_of(tickets);
    CHECK(seen.values == 90);
    CHECK(seen.failed == 10);
    CHECK(attempts[10] == 4);
    CHECK(attempts[11] == 4);
    CHECK(attempts[12] == 1);
  });
}
