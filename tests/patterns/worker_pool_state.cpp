#include "pool_support.hpp"

#include <map>

// State that jobs share, on two threads.

namespace {

/// Runs `main` on two threads.
template <class F>
void on_two_threads(F main) {
  weir::run(main(), {.workers = 2});
}

}  // namespace

TEST_CASE("worker_pool: jobs count behind a mutex, exactly (S105)") {
  on_two_threads([]() -> weir::task<> {
    const int jobs = test::scaled(2000, 500);
    weir::mutex lock;
    int count = 0;
    auto work = [&](int n) -> weir::task<> {
      auto guard = co_await lock.lock();
      count += n;
    };
    auto body = [&](auto& pool) -> weir::task<> {
      for (int n = 0; n < jobs; ++n) (void)co_await pool.submit(1);
    };
    co_await weir::with_worker_pool(work, {.workers = 4, .queue = 16}, body);
    CHECK(count == jobs);
  });
}

TEST_CASE("worker_pool: an account whose balance and list change together and is never overdrawn (S106)") {
  on_two_threads([]() -> weir::task<> {
    weir::mutex lock;
    int balance = 100;
    std::vector<int> changes;
    bool negative = false;
    auto change = [&](int amount) -> weir::task<bool> {
      auto guard = co_await lock.lock();
      if (balance + amount < 0) co_return false;
      balance += amount;
      co_await weir::yield();
      changes.push_back(amount);
      negative = negative || balance < 0;
      co_return true;
    };
    std::vector<weir::job_ticket<bool>> tickets;
    auto body = [&](auto& pool) -> weir::task<> {
      for (int n = 0; n < 300; ++n) {
        const int amount = n % 3 == 0 ? 10 : -7;
        tickets.push_back(co_await pool.submit(amount));
      }
    };
    co_await weir::with_worker_pool(change, {.workers = 4, .queue = 16}, body);
    std::size_t done = 0;
    for (auto& ticket : tickets) {
      const bool changed = co_await std::move(ticket);
      done += changed ? 1 : 0;
    }
    CHECK(!negative);
    CHECK(done == changes.size());
    CHECK(done < 300);
    int sum = 100;
    for (const int c : changes) sum += c;
    CHECK(sum == balance);
  });
}

TEST_CASE("worker_pool: a cache whose items, hits and misses agree (S107)") {
  on_two_threads([]() -> weir::task<> {
    weir::mutex lock;
    std::map<int, int> items;
    int hits = 0, misses = 0;
    auto look_up = [&](int key) -> weir::task<int> {
      auto guard = co_await lock.lock();
      const auto found = items.find(key);
      if (found != items.end()) {
        ++hits;
        co_return found->second;
      }
      ++misses;
      const int made = key * key;
      items[key] = made;
      co_return made;
    };
    auto body = [&](auto& pool) -> weir::task<> {
      for (int n = 0; n < 500; ++n) (void)co_await pool.submit(n % 20);
    };
    co_await weir::with_worker_pool(look_up, {.workers = 4, .queue = 16}, body);
    CHECK(misses == 20);
    CHECK(hits == 480);
    CHECK(items.size() == 20);
  });
}

TEST_CASE("worker_pool: to look and to take is one step (S108)") {
  on_two_threads([]() -> weir::task<> {
    weir::mutex lock;
    std::vector<int> queue;
    for (int n = 0; n < 100; ++n) queue.push_back(n);
    std::atomic<int> taken{0}, empty{0};
    auto pop = [&](int) -> weir::task<> {
      auto guard = co_await lock.lock();
      if (queue.empty()) {
        ++empty;
        co_return;
      }
      queue.pop_back();
      ++taken;
    };
    auto body = [&](auto& pool) -> weir::task<> {
      for (int n = 0; n < 300; ++n) (void)co_await pool.submit(n);
    };
    co_await weir::with_worker_pool(pop, {.workers = 4, .queue = 16}, body);
    CHECK(taken == 100);
    CHECK(empty == 200);
  });
}

TEST_CASE("worker_pool: computed outside of the lock, checked once more when written back (S109)") {
  on_two_threads([]() -> weir::task<> {
    weir::mutex lock;
    int value = 0, version = 0;
    std::atomic<int> repeated{0};
    auto add = [&](int n) -> weir::task<> {
      for (;;) {
        int read = 0, at = 0;
        {
          auto guard = co_await lock.lock();
          read = value;
          at = version;
        }
        const int computed = read + n;
        co_await weir::yield();
        auto guard = co_await lock.lock();
        if (version == at) {
          value = computed;
          ++version;
          co_return;
        }
        ++repeated;
      }
    };
    auto body = [&](auto& pool) -> weir::task<> {
      for (int n = 0; n < 200; ++n) (void)co_await pool.submit(1);
    };
    co_await weir::with_worker_pool(add, {.workers = 4, .queue = 16}, body);
    CHECK(value == 200);  // no update is lost
    CHECK(repeated > 0);
  });
}
