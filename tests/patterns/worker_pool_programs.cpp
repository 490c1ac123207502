#include "pool_support.hpp"

#include <array>

// Whole programs around a worker_pool.

using test::elapsed;
using test::simulate;
using weir::shutdown_mode;
using weir::worker_pool;

namespace {

/// A few connections that are lent: a stand-in for a pool of resources.
class connections {
 public:
  explicit connections(std::size_t n) : free_(n), left_(n), least_left_(n) {}

  class lease {
   public:
    lease(connections& from, weir::semaphore_permit permit) : from_(&from), permit_(std::move(permit)) {
      from_->least_left_ = std::min(from_->least_left_, --from_->left_);
    }
    lease(lease&& other) noexcept : from_(std::exchange(other.from_, nullptr)), permit_(std::move(other.permit_)) {}
    lease& operator=(lease&&) = delete;
    ~lease() {
      if (from_) ++from_->left_;
    }

   private:
    connections* from_;
    weir::semaphore_permit permit_;
  };

  weir::task<lease> acquire() {
    auto permit = co_await free_.acquire();
    lease mine(*this, std::move(permit));
    co_return std::move(mine);
  }
  [[nodiscard]] std::size_t left() const { return left_; }
  [[nodiscard]] std::size_t least_left() const { return least_left_; }

 private:
  weir::semaphore free_;
  std::size_t left_;
  std::size_t least_left_;
};

}  // namespace

TEST_CASE("worker_pool: ten workers over three connections, and each is returned, also on an error (S80, P73)") {
  simulate([]() -> weir::task<> {
    connections db(3);
    auto query = [&](int id) -> weir::task<int> {
      auto lease = co_await db.acquire();
      co_await weir::sleep_for((100 + 10 * id) * 1ms);
      if (id >= 100) throw std::runtime_error("syntax");
      co_return std::move(id);
    };
    worker_pool pool{query, {.workers = 10, .queue = 50}};
    std::vector<weir::job_ticket<int>> tickets;
    for (int id = 0; id < 20; ++id) tickets.push_back(co_await pool.submit(id));
    auto seen = co_await test::outcomes_of(tickets);
    CHECK(seen.values == 20);
    CHECK(db.least_left() == 0);  // all three were used; a fourth would have made it wrap around
    CHECK(db.left() == 3);
    for (int id = 100; id < 105; ++id) tickets.push_back(co_await pool.submit(id));
    co_await weir::sleep_for(10ms);
    co_await pool.shutdown(shutdown_mode::drain, 1150ms);
    auto failed = co_await test::outcomes_of(tickets);
    CHECK(failed.failed == 3);
    CHECK(failed.cancelled == 2);
    CHECK(db.left() == 3);
  });
}

TEST_CASE("worker_pool: 10,000 queries of 50 ms by 50 workers take 10 s and overrun no connection limit (S154, P57)") {
  simulate([]() -> weir::task<> {
    int open = 0;
    auto connect = [&]() -> weir::task<int> {
      if (open == 50) throw std::runtime_error("too many connections");
      co_return ++open;
    };
    auto disconnect = [&](int&) { --open; };
    auto query = [](int&, int n) -> weir::task<int> {
      co_await weir::sleep_for(50ms);
      co_return std::move(n);
    };
    worker_pool pool{query, {.workers = 50, .queue = 100}, weir::worker_state(connect, disconnect)};
    for (int n = 0; n < 10'000; ++n) (void)co_await pool.submit(n);
    co_await pool.shutdown();
    CHECK(elapsed() == 10s);
    CHECK(pool.stats().completed == 10'000);
    CHECK(pool.stats().open_failures == 0);
    CHECK(open == 0);
  });
}

TEST_CASE("worker_pool: a scraper of 10,000 addresses, 50 workers, 100 a second with bursts of 10 (S82, S151, D51)") {
  simulate([]() -> weir::task<> {
    weir::rate_limiter limiter(100, 1s, 10);
    auto fetch = [](std::string url) -> weir::task<std::size_t> {
      co_await weir::sleep_for(200ms);
      if (url.ends_with("13")) throw std::runtime_error(url + ": 404");
      co_return url.size();
    };
    worker_pool pool{fetch, {.workers = 50, .queue = 1000, .start_rate = &limiter}};
    auto results = pool.results();
    int completed = 0, failed = 0;
    auto reads = [&]() -> weir::task<> {
      while (auto r = co_await results.receive()) {
        completed += r->outcome.has_value() ? 1 : 0;
        failed += r->outcome.has_value() ? 0 : 1;
      }
    };
    auto body = [&](weir::task_group& group) -> weir::task<> {
      group.spawn(reads);
      for (int n = 0; n < 10'000; ++n) (void)co_await pool.submit("http://host/" + std::to_string(n));
      co_await pool.shutdown();
      co_await group.join();
    };
    co_await weir::with_task_group(body);
    CHECK(completed == 9'900);
    CHECK(failed == 100);
    CHECK(elapsed() >= 99'900ms);
    CHECK(elapsed() < 101s);
  });
}

TEST_CASE("worker_pool: a million jobs, with a changing number of workers, a limit, errors and a graceful end (S87)") {
  const int jobs = test::scaled(1'000'000, 20'000);
  simulate([jobs]() -> weir::task<> {
    weir::rate_limiter limiter(100'000'000, 1s, 1000);
    int ran = 0;
    auto work = [&ran](int n) {
      ++ran;
      if (n % 100 == 99) throw std::runtime_error("every hundredth");
      return n;
    };
    worker_pool pool{work,
                     {.workers = 2,
                      .most_workers = 16,
                      .queue = 1000,
                      .grow_after = 1ms,
                      .idle = 10ms,
                      .start_rate = &limiter,
                      .high_water = 800}};
    for (int n = 0; n < jobs; ++n) (void)co_await pool.submit(n);
    const std::size_t abandoned = co_await pool.shutdown(shutdown_mode::drain, 1min);
    const auto s = pool.stats();
    test::check_exact(s);
    CHECK(abandoned == 0);
    CHECK(ran == jobs);
    CHECK(s.failed == static_cast<std::uint64_t>(jobs / 100));
    CHECK(s.completed == static_cast<std::uint64_t>(jobs - jobs / 100));
    CHECK(s.most_workers <= 16);
    CHECK(elapsed() >= (jobs - 1000) * 10ns);
  });
}

TEST_CASE("worker_pool: orders: validated, paid within a limit, taken from stock, notified, or undone (S148, D51)") {
  simulate([]() -> weir::task<> {
    struct order {
      int id;
      int pieces;
      double price;
    };
    int stock = 100;
    int charged = 0;
    weir::mutex stock_lock;
    weir::rate_limiter payments(200, 1s, 10);
    weir::channel<int> notices(16);
    int notified = 0;

    auto validate = [](const order& o) {
      if (o.pieces <= 0) throw std::invalid_argument("order " + std::to_string(o.id) + ": nothing");
    };
    worker_pool<void(order)> cpu{validate, {.workers = 2, .queue = 20, .offload = true}};
    auto charge = [&](order o) -> weir::task<> {
      co_await payments.acquire();
      co_await weir::sleep_for(20ms);
      if (o.id % 10 == 7) throw std::runtime_error("order " + std::to_string(o.id) + ": card refused");
      charged += o.pieces;
    };
    auto take = [&](order o) -> weir::task<> {
      auto guard = co_await stock_lock.lock();
      const int before = stock;
      co_await weir::sleep_for(1ms);  // the store answers
      if (before < o.pieces) throw std::runtime_error("order " + std::to_string(o.id) + ": out of stock");
      stock = before - o.pieces;
    };
    auto process = [&](order o) -> weir::task<int> {
      auto valid = co_await cpu.submit(o);
      co_await weir::with_timeout(1s, std::move(valid));
      co_await weir::with_timeout(2s, charge(o));
      auto taken = co_await weir::as_result(weir::with_timeout(1s, take(o)));
      if (!taken.has_value()) {
        charged -= o.pieces;  // the money goes back
        std::move(taken).value();
      }
      int id = o.id;
      co_await weir::with_timeout(1s, notices.send(std::move(id)));
      co_return o.id;
    };
    auto notifies = [&]() -> weir::task<> {
      while (auto id = co_await notices.receive()) ++notified;
    };
    auto main = [&](weir::task_group& group) -> weir::task<> {
      group.spawn(notifies);
      worker_pool pool{process, {.workers = 10, .queue = 50}};
      std::vector<weir::job_ticket<int>> tickets;
      for (int id = 0; id < 100; ++id) {
        const order wanted{id, id % 10 == 3 ? 0 : 2, 9.99};
        auto ticket = co_await pool.submit(wanted);
        tickets.push_back(std::move(ticket));
      }
      auto seen = co_await test::outcomes_of(tickets);
      CHECK(seen.values == 50);  // of 80 that are valid and paid the stock is enough for so many
      CHECK(seen.failed == 50);
      co_await pool.shutdown();
      co_await cpu.shutdown();
      notices.close();
      co_await group.join();
    };
    co_await weir::with_task_group(main);
    CHECK(stock == 0);
    CHECK(charged == 100);
    CHECK(notified == 50);
  });
}

TEST_CASE(
    "worker_pool: three tenants, 100 requests each, limits by plan, every answer to its own requester (S150, D03)") {
  simulate([]() -> weir::task<> {
    struct request {
      std::string tenant;
      int endpoint;
      int number;
    };
    auto of_plan = [](const std::string& tenant) {
      if (tenant == "free") return weir::rate_limiter(10, 1s, 5);
      if (tenant == "pro") return weir::rate_limiter(50, 1s, 10);
      return weir::rate_limiter(100, 1s, 20);
    };
    weir::keyed_limiter<std::string, weir::rate_limiter> limits(of_plan);
    auto handle = [](const request& r) -> weir::task<std::string> {
      constexpr std::array<int, 4> latency{50, 100, 200, 30};
      co_await weir::sleep_for(latency[static_cast<std::size_t>(r.endpoint)] * 1ms);
      co_return r.tenant + " " + std::to_string(r.number);
    };
    worker_pool<std::string(request)> pool{handle, {.workers = 50, .queue = 1000}};
    int right = 0;
    auto asks = [&](std::string tenant, int number) -> weir::task<> {
      co_await limits.acquire(tenant);
      request wanted{tenant, number % 4, number};
      auto ticket = co_await pool.submit(std::move(wanted));
      const std::string answer = co_await std::move(ticket);
      right += answer == tenant + " " + std::to_string(number) ? 1 : 0;
    };
    std::vector<std::uint64_t> every_5s;
    auto metrics = [&]() -> weir::task<> {
      for (;;) {
        co_await weir::sleep_for(5s);
        every_5s.push_back(pool.stats().completed);
      }
    };
    auto serve = [&]() -> weir::task<> {
      auto watch = weir::spawn(metrics);
      auto body = [&](weir::task_group& group) -> weir::task<> {
        for (const char* tenant : {"free", "pro", "large"}) {
          for (int n = 0; n < 100; ++n) group.spawn(asks, std::string(tenant), n);
        }
        co_await group.join();
      };
      co_await weir::with_task_group(body);
      watch.request_cancellation();
    };
    co_await weir::with_timeout(30s, serve());
    CHECK(right == 300);
    CHECK(elapsed() >= 9500ms);  // the free plan: 95 requests at 10 a second
    CHECK(elapsed() < 10s);
    CHECK(every_5s.size() == 1);
    co_await pool.shutdown();
    test::check_exact(pool.stats());
  });
}

TEST_CASE("worker_pool: one job in flight hides the number of workers, many show it (P72, D54)") {
  for (const std::size_t workers : {std::size_t{1}, std::size_t{8}}) {
    simulate([workers]() -> weir::task<> {
      auto work = [](int n) -> weir::task<int> {
        co_await weir::sleep_for(1ms);
        co_return std::move(n);
      };
      worker_pool pool{work, {.workers = workers, .queue = 64}};
      const weir::time_point start = weir::now();
      for (int n = 0; n < 80; ++n) {
        auto ticket = co_await pool.submit(n);
        (void)co_await std::move(ticket);
      }
      CHECK(weir::now() - start == 80ms);  // whatever the number
      const weir::time_point again = weir::now();
      std::vector<weir::job_ticket<int>> tickets;
      for (int n = 0; n < 80; ++n) tickets.push_back(co_await pool.submit(n));
      (void)co_await test::outcomes_of(tickets);
      CHECK(weir::now() - again == 80ms / static_cast<int>(workers));
      co_await pool.shutdown();
    });
  }
}
