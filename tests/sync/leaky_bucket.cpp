#include <weir/sync/leaky_bucket.hpp>

#include <stdexcept>
#include <vector>

#include "support.hpp"

using test::at;
using test::simulate;

TEST_CASE("leaky_bucket: lets one through at a time, and each of them waits his turn (S99, D48)") {
  std::vector<weir::duration> times;
  simulate([&]() -> weir::task<> {
    weir::leaky_bucket bucket(10, 1s, 100);
    auto body = [&](weir::task_group& g) -> weir::task<> {
      auto child = [&]() -> weir::task<> {
        co_await bucket.acquire();
        times.push_back(weir::now() - weir::time_point());
      };
      for (int i = 0; i < 30; ++i) g.spawn(child);
      co_await g.join();
    };
    co_await weir::with_task_group(body);
    // A pause saves nothing up.
    co_await weir::sleep_for(1h);
    CHECK(bucket.try_acquire());
    CHECK(!bucket.try_acquire());
  });
  for (std::size_t i = 0; i < times.size(); ++i) CHECK(times[i] == static_cast<int>(i) * 100ms);
}

TEST_CASE("leaky_bucket: when its queue is full who comes is refused at once, and nobody else") {
  simulate([]() -> weir::task<> {
    weir::leaky_bucket bucket(1, 10ms, 3);
    co_await bucket.acquire();
    auto body = [&](weir::task_group& g) -> weir::task<> {
      int through = 0;
      auto child = [&]() -> weir::task<> {
        co_await bucket.acquire();
        ++through;
      };
      g.spawn(child);
      g.spawn(child);
      co_await test::settle();
      {
        const auto place = bucket.reserve();
        CHECK(place.when() == at(30ms));
        const auto r = co_await weir::as_result(bucket.acquire());
        CHECK(r.error() == std::errc::resource_unavailable_try_again);
        CHECK_THROWS_AS(static_cast<void>(bucket.reserve()), std::system_error);
        CHECK(!bucket.try_acquire());
      }
      g.spawn(child);  // the place is free again
      co_await g.join();
      CHECK(through == 3);
      CHECK(weir::now() == at(30ms));
    };
    co_await weir::with_task_group(body);
    CHECK(bucket.counters().refused == 3);
  });
}

TEST_CASE("leaky_bucket: who takes several makes the next one wait for them") {
  simulate([]() -> weir::task<> {
    weir::leaky_bucket bucket(1, 10ms, 10);
    co_await bucket.acquire(5);
    CHECK(weir::now() == at(0ms));
    co_await bucket.acquire();
    CHECK(weir::now() == at(50ms));
    bucket.set_rate(1, 1ms);
    co_await bucket.acquire();
    CHECK(weir::now() == at(51ms));
  });
}

TEST_CASE("leaky_bucket: numbers that make no sense are refused") {
  CHECK_THROWS_AS(weir::leaky_bucket(0, 1s, 1), std::invalid_argument);
  CHECK_THROWS_AS(weir::leaky_bucket(1, 0s, 1), std::invalid_argument);
}
