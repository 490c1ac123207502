#include <weir/patterns/pool_sizing.hpp>

#include "support.hpp"

namespace sizing = weir::pool_sizing;

TEST_CASE("pool_sizing: workers for computing, waiting, budgets and rates (S84, P55)") {
  CHECK(sizing::workers_for_waiting(8, 10ms, 0ms) == 8);    // only computing: the cores
  CHECK(sizing::workers_for_waiting(8, 10ms, 10ms) == 16);  // half and half: twice
  CHECK(sizing::workers_for_waiting(8, 10ms, 90ms) == 80);  // mostly waiting: ten times
  CHECK(sizing::workers_for_waiting(2, 1ms, 100ms) == 202);
  CHECK(sizing::workers_for_budget(1'000, 64) == 15);
  CHECK(sizing::workers_for_budget(63, 64) == 0);
  CHECK(sizing::workers_for_budget(20, 0) == 20);
  CHECK(sizing::workers_for_rate(100, 100ms, 1.0) == 10);
  CHECK(sizing::workers_for_rate(100, 100ms) == 15);
  CHECK(sizing::workers_for_rate(0, 1s) == 1);
  CHECK_THROWS_AS((void)sizing::workers_for_waiting(8, 0ms, 1ms), std::invalid_argument);
  CHECK_THROWS_AS((void)sizing::workers_for_rate(1, 1s, 0), std::invalid_argument);
  CHECK_THROWS_AS((void)sizing::workers_for_rate(-1, 1s), std::invalid_argument);
  CHECK_THROWS_AS((void)sizing::workers_for_rate(1e30, 1h), std::invalid_argument);
}

TEST_CASE("pool_sizing: what more workers bring, by Amdahl's law (S84)") {
  CHECK(sizing::speed_up(1.0, 8) == doctest::Approx(8));
  CHECK(sizing::speed_up(0.0, 8) == doctest::Approx(1));
  CHECK(sizing::speed_up(0.9, 10) == doctest::Approx(5.263).epsilon(0.001));
  CHECK(sizing::speed_up(0.95, 1'000'000) == doctest::Approx(20).epsilon(0.001));
  CHECK_THROWS_AS((void)sizing::speed_up(1.1, 2), std::invalid_argument);
  CHECK_THROWS_AS((void)sizing::speed_up(0.5, 0), std::invalid_argument);
}

TEST_CASE("pool_sizing: queues, by workers and by the time that a job may wait, and Little's law (S85)") {
  CHECK(sizing::queue_for_workers(8) == 24);
  CHECK(sizing::queue_for_workers(8, 5) == 40);
  CHECK(sizing::queue_for_wait(10, 50ms, 1s) == 200);
  CHECK(sizing::queue_for_wait(3, 100ms, 50ms) == 1);
  CHECK(sizing::jobs_under_way(100, 100ms) == doctest::Approx(10));
  CHECK_THROWS_AS((void)sizing::queue_for_wait(1, 0ms, 1s), std::invalid_argument);
}
