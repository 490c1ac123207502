#include <thread>

#include "support.hpp"

// Tasks of two runtimes that meet at objects of both: each goes on in its own.

TEST_CASE("two runtimes: channels, events and mutexes between them") {
  constexpr int rounds = test::scaled(3'000, 500);
  for (const bool stealing : {true, false}) {
    for (const unsigned workers : {1u, 2u}) {
      weir::runtime left({.workers = 1, .name = "left"});
      weir::runtime right({.workers = workers, .stealing = stealing, .name = "right"});
      weir::channel<int> requests(0);
      weir::channel<int> answers(2);
      weir::event ended;
      weir::mutex lock;
      int guarded = 0;
      const weir::detail::runtime_core* cores[] = {&weir::runtime_access::core(left),
                                                   &weir::runtime_access::core(right)};
      std::atomic<int> astray{0};
      auto asks = [&]() -> weir::task<long> {
        long sum = 0;
        for (int i = 0; i < rounds; ++i) {
          co_await requests.send(i);
          const std::optional<int> answer = co_await answers.receive();
          sum += answer.value_or(-1'000'000);
          const auto guard = co_await lock.lock();
          ++guarded;
          if (!weir::detail::on_worker_of(*cores[0])) ++astray;
        }
        requests.close();
        co_await ended.wait();
        co_return sum;
      };
      auto serves = [&]() -> weir::task<> {
        while (auto n = co_await requests.receive()) {
          {
            const auto guard = co_await lock.lock();
            ++guarded;
          }
          if (*n % 7 == 0) co_await weir::sleep_for(1us);
          if (!weir::detail::on_worker_of(*cores[1])) ++astray;
          co_await answers.send(2 * *n);
        }
        ended.set();
      };
      auto served = right.spawn(serves);
      CHECK(left.block_on(asks()) == static_cast<long>(rounds) * (rounds - 1));
      auto joins = [&]() -> weir::task<> { co_await served.join(); };
      left.block_on(joins());
      CHECK(guarded == 2 * rounds);
      CHECK(astray == 0);
    }
  }
}

TEST_CASE("two runtimes: one that ends while the other waits for what it had") {
  weir::runtime stays({.workers = 1});
  weir::channel<int> numbers(1);
  weir::event begun;
  auto receives = [&]() -> weir::task<int> {
    int sum = 0;
    while (auto n = co_await numbers.receive()) sum += *n;
    co_return sum;
  };
  auto handle = stays.spawn(receives());
  {
    weir::runtime goes({.workers = 2});
    auto sends = [&]() -> weir::task<> {
      for (int i = 1;; ++i) {
        co_await numbers.send(1);
        if (i == 100) begun.set();
      }
    };
    goes.spawn(sends);
    auto waits = [&]() -> weir::task<> { co_await begun.wait(); };
    stays.block_on(waits());
  }
  numbers.close();
  auto joins = [&]() -> weir::task<int> { co_return co_await handle.join(); };
  CHECK(stays.block_on(joins()) >= 100);
}
