#include <weir/sync/concurrency_limiter.hpp>

#include <atomic>
#include <stdexcept>
#include <thread>
#include <type_traits>
#include <vector>

#include <weir/sync/select.hpp>

#include "support.hpp"

using test::settle;
using test::simulate;

static_assert(!std::is_copy_constructible_v<weir::concurrency_limiter>);
static_assert(!std::is_copy_constructible_v<weir::concurrency_permit>);
static_assert(std::is_nothrow_move_constructible_v<weir::concurrency_permit>);

namespace {

/// A service that serves `capacity` at a time, each in 10 ms, and queues the others: what load does to latency.
class service {
 public:
  explicit service(std::size_t capacity) : places_(capacity) {}
  weir::task<> call() {
    const auto place = co_await places_.acquire();
    co_await weir::sleep_for(10ms);
  }

 private:
  weir::semaphore places_;
};

/// Where the limit is after so many callers have called for so long.
std::size_t limit_after(const weir::concurrency_options& options, std::size_t capacity, int callers,
                        weir::duration length) {
  std::size_t limit = 0;
  simulate([&]() -> weir::task<> {
    weir::concurrency_limiter limiter(options);
    service remote(capacity);
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto caller = [&]() -> weir::task<> {
        while (weir::now() < weir::time_point() + length) {
          auto permit = co_await limiter.acquire();
          co_await remote.call();
          permit.succeeded();
        }
      };
      for (int i = 0; i < callers; ++i) g.spawn(caller);
      co_await g.join();
    };
    co_await weir::with_task_group(body);
    limit = limiter.limit();
    CHECK(limiter.in_flight() == 0);
  });
  return limit;
}

}  // namespace

TEST_CASE("concurrency_limiter: so many at a time, first come, first served") {
  simulate([]() -> weir::task<> {
    weir::concurrency_limiter limiter({.initial = 2, .least = 1, .most = 2});
    auto a = co_await limiter.acquire();
    auto b = limiter.try_acquire();
    CHECK(static_cast<bool>(b));
    CHECK(!limiter.try_acquire());
    CHECK(limiter.in_flight() == 2);
    auto chosen = co_await weir::select(limiter.acquire(), weir::sleep_for(1ms));
    CHECK(chosen.index() == 1);
    a.release();
    a.release();
    CHECK(limiter.in_flight() == 1);
    auto c = co_await limiter.acquire();
    b = std::move(c);
    CHECK(limiter.in_flight() == 1);
  });
}

TEST_CASE("concurrency_limiter: overloads lower the limit, and nobody at work is interrupted") {
  simulate([]() -> weir::task<> {
    weir::concurrency_limiter limiter(
        {.initial = 8, .least = 2, .most = 8, .control = weir::concurrency_control::aimd, .decrease = 0.5});
    std::vector<weir::concurrency_permit> held;
    for (int i = 0; i < 8; ++i) held.push_back(limiter.try_acquire());
    held.back().overloaded();
    held.pop_back();
    CHECK(limiter.limit() == 4);
    CHECK(limiter.in_flight() == 7);
    CHECK(!limiter.try_acquire());
    held.back().overloaded();
    held.pop_back();
    held.back().overloaded();  // not below the least
    held.pop_back();
    CHECK(limiter.limit() == 2);
    while (held.size() > 2) held.pop_back();
    CHECK(limiter.in_flight() == 2);
    CHECK(!limiter.try_acquire());
    held.pop_back();
    CHECK(static_cast<bool>(limiter.try_acquire()));
    co_return;
  });
}

TEST_CASE("concurrency_limiter: aimd adds one for each round that used what it had") {
  simulate([]() -> weir::task<> {
    weir::concurrency_limiter limiter(
        {.initial = 4, .least = 1, .most = 100, .control = weir::concurrency_control::aimd});
    for (int round = 0; round < 3; ++round) {
      std::vector<weir::concurrency_permit> held;
      for (std::size_t i = limiter.limit(); i > 0; --i) held.push_back(limiter.try_acquire());
      for (auto& permit : held) permit.succeeded();
    }
    CHECK(limiter.limit() >= 5);
    CHECK(limiter.limit() <= 7);
    const std::size_t before = limiter.limit();
    for (int i = 0; i < 100; ++i) limiter.try_acquire().succeeded();  // one at a time says nothing
    CHECK(limiter.limit() == before);
    co_return;
  });
}

TEST_CASE("concurrency_limiter: latency above what is wanted counts as overload") {
  const std::size_t limit =
      limit_after({.initial = 50, .least = 1, .most = 1000, .control = weir::concurrency_control::aimd, .slow = 15ms},
                  10, 200, 20s);
  CHECK(limit >= 8);
  CHECK(limit <= 20);
}

TEST_CASE("concurrency_limiter: the gradient finds about what the other side serves at once") {
  for (const std::size_t initial : {4u, 30u, 300u}) {
    CAPTURE(initial);
    const std::size_t found = limit_after({.initial = initial, .least = 1, .most = 1000}, 20, 400, 20s);
    CHECK(found >= 20);  // none of it is idle
    CHECK(found <= 50);  // and the queue is no longer than what is at work
  }
}

TEST_CASE("concurrency_limiter: permits are neither lost nor made when tasks are cancelled and limits move") {
  weir::concurrency_limiter limiter(
      {.initial = 3, .least = 1, .most = 6, .control = weir::concurrency_control::aimd, .decrease = 0.7});
  std::atomic<int> inside{0};
  std::atomic<bool> wrong{false};
  const int rounds = test::scaled(3000, 300);
  auto task = [&](unsigned salt) -> weir::task<> {
    for (int i = 0; i < rounds; ++i) {
      auto r = co_await weir::as_result(weir::with_timeout(20us, limiter.acquire()));
      if (!r.has_value()) continue;
      auto permit = std::move(r).value();
      if (++inside > 6) wrong = true;
      if (i % 7 == 0) co_await weir::yield();
      --inside;
      switch ((static_cast<unsigned>(i) + salt) % 4) {
        case 0:
          permit.overloaded();
          break;
        case 1:
          break;
        default:
          permit.succeeded();
      }
    }
  };
  auto main = [&]() -> weir::task<> { co_await weir::when_all(task(0), task(1), task(2), task(3)); };
  std::thread other([&] { weir::run(main(), {.workers = 2}); });
  weir::run(main(), {.workers = 2});
  other.join();
  CHECK(!wrong);
  CHECK(limiter.in_flight() == 0);
  std::vector<weir::concurrency_permit> all;
  for (;;) {
    auto permit = limiter.try_acquire();
    if (!permit) break;
    all.push_back(std::move(permit));
  }
  CHECK(all.size() == limiter.limit());
}

TEST_CASE("concurrency_limiter: options that make no sense are refused") {
  CHECK_THROWS_AS(weir::concurrency_limiter({.least = 0}), std::invalid_argument);
  CHECK_THROWS_AS(weir::concurrency_limiter({.initial = 5, .least = 10}), std::invalid_argument);
  CHECK_THROWS_AS(weir::concurrency_limiter({.decrease = 0}), std::invalid_argument);
  CHECK_THROWS_AS(weir::concurrency_limiter({.tolerance = 0.5}), std::invalid_argument);
}
