// What the guides build of locks, atomics and limiters, in their numbers, and the mistakes that their own programs
// make: the rows of tests/systems.txt that no test of one concept shows.
#include <weir/sync/channel.hpp>
#include <weir/sync/condition_variable.hpp>
#include <weir/sync/event.hpp>
#include <weir/sync/mutex.hpp>
#include <weir/sync/rate_limiter.hpp>
#include <weir/sync/sharded.hpp>
#include <weir/sync/snapshot.hpp>

#include <atomic>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <queue>
#include <string>
#include <vector>

#include "support.hpp"

using test::at;
using test::settle;
using test::simulate;
using test::together;

namespace {

/// Counts the tasks that are stopped while they have one.
class ends_stopped {
 public:
  explicit ends_stopped(int& count) noexcept : count_(count) {}
  ends_stopped(const ends_stopped&) = delete;
  ends_stopped& operator=(const ends_stopped&) = delete;
  ~ends_stopped() {
    if (weir::unwinding()) ++count_;
  }

 private:
  int& count_;
};

/// Money that changes hands, and the list of how: both or neither.
class account {
 public:
  weir::task<bool> withdraw(int amount) {
    auto guard = co_await lock_.lock();
    if (balance_ < amount) co_return false;
    co_await weir::yield();  // a journal, say: the lock is held across it
    balance_ -= amount;
    transactions_.push_back(-amount);
    co_return true;
  }
  weir::task<> deposit(int amount) {
    auto guard = co_await lock_.lock();
    balance_ += amount;
    co_await weir::yield();
    transactions_.push_back(amount);
  }
  weir::task<bool> adds_up() {
    auto guard = co_await lock_.lock();
    co_return balance_ >= 0 && balance_ == std::accumulate(transactions_.begin(), transactions_.end(), 0);
  }

 private:
  weir::mutex lock_;
  int balance_ = 0;
  std::vector<int> transactions_;
};

/// Push never waits, pop does.
class blocking_queue {
 public:
  weir::task<> push(int item) {
    {
      auto guard = co_await lock_.lock();
      items_.push(item);
    }
    ready_.notify_one();
  }
  weir::task<int> pop() {
    auto guard = co_await lock_.lock();
    while (items_.empty()) co_await ready_.wait(guard);
    const int item = items_.front();
    items_.pop();
    co_return item;
  }
  weir::task<std::optional<int>> try_pop() {  // to look and to take is one step
    auto guard = co_await lock_.lock();
    if (items_.empty()) co_return std::nullopt;
    const int item = items_.front();
    items_.pop();
    co_return item;
  }

 private:
  weir::mutex lock_;
  weir::condition_variable ready_;
  std::queue<int> items_;
};

}  // namespace

TEST_CASE("guides: a counter behind a mutex is exact on several workers (S105)") {
  weir::mutex lock;
  int count = 0;
  auto main = [&]() -> weir::task<> {
    auto increments = [&]() -> weir::task<> {
      for (int i = 0; i < 1000; ++i) {
        auto guard = co_await lock.lock();
        ++count;
      }
    };
    auto body = [&](weir::task_group& group) {
      for (int i = 0; i < 10; ++i) group.spawn(increments);
    };
    co_await together(body);
  };
  weir::run(main(), {.workers = 2});
  CHECK(count == 10'000);
}

TEST_CASE("guides: an account: balance and list change together, and it is never overdrawn (S106, S116)") {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    weir::simulation world({.seed = seed});
    auto main = []() -> weir::task<> {
      account shared;
      int paid = 0;
      auto deposits = [&]() -> weir::task<> { co_await shared.deposit(30); };
      auto withdraws = [&]() -> weir::task<> {
        const bool taken = co_await shared.withdraw(50);
        if (taken) paid += 50;
        const bool right = co_await shared.adds_up();
        CHECK(right);
      };
      auto body = [&](weir::task_group& group) {
        for (int i = 0; i < 10; ++i) {
          group.spawn(deposits);
          group.spawn(withdraws);
        }
      };
      co_await together(body);
      CHECK(paid <= 300);
    };
    world.run(main());
  }
}

TEST_CASE("guides: a cache in 16 parts counts hits and misses consistently, and computes a value once (S107, S110)") {
  simulate([]() -> weir::task<> {
    struct part {
      std::map<int, int> items;
      int hits = 0;
      int misses = 0;
    };
    weir::sharded<part> cache(16);
    int computed = 0;
    auto looks_up = [&](int key) -> weir::task<> {
      auto guard = co_await cache.lock(key);
      const auto found = guard->items.find(key);
      if (found != guard->items.end()) {
        ++guard->hits;
        co_return;
      }
      ++guard->misses;
      co_await weir::sleep_for(1ms);  // other parts go on meanwhile
      ++computed;
      guard->items.emplace(key, key * key);
    };
    auto body = [&](weir::task_group& group) {
      for (int i = 0; i < 1000; ++i) group.spawn(looks_up, i % 100);
    };
    co_await together(body);
    int hits = 0;
    int misses = 0;
    for (int key = 0; key < 100; ++key) {
      auto guard = co_await cache.lock(key);
      hits += std::exchange(guard->hits, 0);
      misses += std::exchange(guard->misses, 0);
    }
    CHECK(hits == 900);
    CHECK(misses == 100);
    CHECK(computed == 100);
  });
}

TEST_CASE(
    "guides: many pop from one queue: each item once, no wake-up lost, and to look and take is one step (S108, S111, "
    "D29, D47)") {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    weir::simulation world({.seed = seed});
    auto main = []() -> weir::task<> {
      blocking_queue queue;
      std::vector<int> popped;
      auto pops = [&]() -> weir::task<> {
        for (int i = 0; i < 5; ++i) popped.push_back(co_await queue.pop());
      };
      auto pushes = [&](int first) -> weir::task<> {
        for (int i = 0; i < 5; ++i) co_await queue.push(first + i);
      };
      auto body = [&](weir::task_group& group) {
        for (int i = 0; i < 4; ++i) group.spawn(pops);
        for (int i = 0; i < 4; ++i) group.spawn(pushes, 5 * i);
      };
      co_await together(body);  // a lost wake-up would be a deadlock, which the simulation tells
      std::sort(popped.begin(), popped.end());
      std::vector<int> all(20);
      std::iota(all.begin(), all.end(), 0);
      CHECK(popped == all);
      const std::optional<int> none = co_await queue.try_pop();
      CHECK(!none);
    };
    world.run(main());
  }
}

TEST_CASE(
    "guides: computing outside of the lock loses no update when it is stored only over what was read (S109, S115, "
    "D46)") {
  simulate([]() -> weir::task<> {
    weir::snapshot<int> total(0);
    auto adds = [&]() -> weir::task<> {
      for (bool stored = false; !stored;) {
        const auto seen = total.load();
        co_await weir::yield();  // dear, and no lock is held
        stored = total.store_if(seen, *seen + 1);
      }
    };
    auto body = [&](weir::task_group& group) {
      for (int i = 0; i < 50; ++i) group.spawn(adds);
    };
    co_await together(body);
    const auto copy = total.load();
    total.store(0);
    CHECK(*copy == 50);  // what a reader has does not change under its hands
  });
}

TEST_CASE("guides: request metrics by atomics, told every 10 s (S114)") {
  simulate([]() -> weir::task<> {
    std::atomic<int> total{0};
    std::atomic<int> failed{0};
    std::vector<std::pair<int, int>> told;
    auto requests = [&]() -> weir::task<> {
      for (int i = 0; i < 100; ++i) {
        co_await weir::sleep_for(250ms);
        total.fetch_add(1, std::memory_order_relaxed);
        if (i % 10 == 9) failed.fetch_add(1, std::memory_order_relaxed);
      }
    };
    auto tells = [&]() -> weir::task<> {
      weir::interval every(10s);
      for (int i = 0; i < 3; ++i) {
        co_await every.tick();
        told.emplace_back(total.load(std::memory_order_relaxed), failed.load(std::memory_order_relaxed));
      }
    };
    auto body = [&](weir::task_group& group) {
      group.spawn(requests);
      group.spawn(tells);
    };
    co_await together(body);
    CHECK(total == 100);
    CHECK(failed == 10);
    REQUIRE(told.size() == 3);
    CHECK(told.back().first >= 79);
  });
}

TEST_CASE("guides: the last of several tasks that hold something frees it (S118)") {
  auto main = []() -> weir::task<> {
    auto body = [](weir::task_group& group) {
      auto shared = std::make_shared<test::counted>();
      auto holds = [](std::shared_ptr<test::counted> mine) -> weir::task<> {
        co_await weir::yield();
        CHECK(mine.use_count() > 0);
      };
      for (int i = 0; i < 20; ++i) group.spawn(holds, shared);
    };
    co_await together(body);
    CHECK(test::counted::alive == 0);
  };
  weir::run(main(), {.workers = 2});
}

TEST_CASE("guides: a bucket that starts full lets 1,000 through in 9.0 s at 100 per second (S93, S95)") {
  simulate([]() -> weir::task<> {
    weir::rate_limiter limiter(100, 1s, 100);
    std::vector<int> order;
    auto asks = [&](int i) -> weir::task<> {
      co_await limiter.acquire();
      order.push_back(i);
    };
    auto body = [&](weir::task_group& group) -> weir::task<> {
      for (int i = 0; i < 1000; ++i) {
        group.spawn(asks, i);
        co_await settle();
      }
      co_await group.join();
    };
    co_await weir::with_task_group(body);
    CHECK(weir::now() >= at(9s));
    CHECK(weir::now() < at(9s + 1ms));
    CHECK(std::is_sorted(order.begin(), order.end()));  // first come, first served
  });
}

TEST_CASE(
    "guides: when those who wait are stopped none of them is admitted, and nothing is left behind (S93, D05, D33, D49, "
    "D55)") {
  simulate([]() -> weir::task<> {
    weir::rate_limiter limiter(100, 1s, 5);
    int admitted = 0;
    int stopped = 0;
    auto asks = [&]() -> weir::task<> {
      const ends_stopped mine(stopped);
      co_await limiter.acquire();
      ++admitted;
    };
    auto body = [&](weir::task_group& group) -> weir::task<> {
      for (int i = 0; i < 1000; ++i) group.spawn(asks);
      co_await weir::sleep_for(1s);
      group.cancel();
    };
    co_await weir::with_task_group(body);
    CHECK(admitted >= 104);
    CHECK(admitted <= 105);
    CHECK(admitted + stopped == 1000);
    // No ticker goes on: nothing is due any more, and the tokens have come all the same.
    co_await weir::sleep_for(50ms);
    CHECK(limiter.available() == 5);
  });
}

TEST_CASE("guides: a limiter with all that the well-known one has (S96, S103)") {
  simulate([]() -> weir::task<> {
    weir::rate_limiter limiter(100, 1s, 10);
    for (int i = 0; i < 10; ++i) CHECK(limiter.try_acquire());
    CHECK(!limiter.try_acquire());

    // A deadline that cannot be met fails at once, and costs nothing.
    auto early = weir::with_timeout(50ms, limiter.acquire(8));
    const auto refused = co_await weir::as_result(std::move(early));
    CHECK(refused.error() == std::errc::timed_out);
    CHECK(weir::now() == at(0s));

    // A reservation says when; given back, its tokens are as if never asked for.
    {
      const auto turn = limiter.reserve(5);
      CHECK(turn.when() == at(50ms));
    }
    auto again = limiter.reserve(5);
    CHECK(again.when() == at(50ms));

    limiter.set_rate(200, 1s);
    co_await limiter.acquire(10);  // at once, and behind the reservation
    CHECK(weir::now() >= at(75ms - 1us));
    CHECK(weir::now() <= at(76ms));

    weir::rate_limiter hourly(1000, 1h, 1);
    co_await hourly.acquire();
    const weir::time_point begin = weir::now();
    co_await hourly.acquire();
    CHECK(weir::now() - begin == 3600ms);
  });
}

TEST_CASE("guides: 10,000 users of a client with 1,000 calls an hour wait ten hours, and none of them fails (S104)") {
  simulate([]() -> weir::task<> {
    weir::rate_limiter hourly(1000, 1h, 1);
    int answered = 0;
    auto calls = [&]() -> weir::task<> {
      co_await hourly.acquire();
      ++answered;
    };
    auto body = [&](weir::task_group& group) {
      for (int i = 0; i < 10'000; ++i) group.spawn(calls);
    };
    co_await together(body);
    CHECK(answered == 10'000);
    CHECK(weir::now() >= at(9999 * 3600ms));
    CHECK(weir::now() < at(9999 * 3600ms + 1s));
  });
}
