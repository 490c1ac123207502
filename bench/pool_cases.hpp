#pragma once
// What a job costs that does next to nothing: see sync_cases.hpp for what a case is. peers/patterns.go has a pool as it
// is written in Go: workers between two channels.

#include "sync_cases.hpp"

#include <weir/patterns/worker_pool.hpp>
#include <weir/weir.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <utility>

namespace bench {

/// Submits jobs, of which so many may be under way, and adds up what they answer. Where they may fail, a failure
/// counts 1.
template <class Pool, std::size_t under_way, bool may_fail = false>
class job_window {
 public:
  explicit job_window(Pool& pool) : pool_(pool) {}

  weir::task<std::uint64_t> run(std::uint64_t count) {
    std::uint64_t sum = 0;
    for (std::uint64_t i = 0; i < count + under_way; ++i) {
      ticket& place = tickets_[i % under_way];
      if (i >= under_way && i - under_way < count) {
        if constexpr (may_fail) {
          auto answer = co_await weir::as_result(std::move(place));
          sum += answer ? *answer : 1;
        } else {
          sum += co_await std::move(place);
        }
      }
      if (i < count) place = co_await pool_.submit(i);
    }
    co_return sum;
  }

 private:
  using ticket = weir::job_ticket<std::uint64_t>;
  Pool& pool_;
  std::array<ticket, under_way> tickets_;
};

/// A fixed pool of 8 workers, with 128 jobs under way. An operation is one job.
class trivial_pool_case : public counted_case {
 public:
  template <class Spawn>
  void start(std::uint64_t operations, Spawn spawn) {
    spawn(run(operations, expect(sum_of(1, operations))));
  }

 private:
  static std::uint64_t add_one(std::uint64_t number) { return number + 1; }
  static weir::task<> run(std::uint64_t count, std::uint64_t& into) {
    weir::worker_pool pool{&add_one, {.workers = 8, .queue = 128}};
    job_window<decltype(pool), 128> window(pool);
    const std::uint64_t sum = co_await window.run(count);
    co_await pool.shutdown(weir::shutdown_mode::drain, std::chrono::seconds(10));
    const weir::pool_stats stats = pool.stats();
    if (stats.accepted == count && stats.completed == count) into += sum;
  }
};

/// One that grows from 2 workers to 8 and takes a token of a rate limiter for each job, of which every thousandth
/// fails; it is drained in the end, and every job is accounted for.
class full_pool_case : public counted_case {
 public:
  template <class Spawn>
  void start(std::uint64_t operations, Spawn spawn) {
    const std::uint64_t failing = (operations + 999) / 1000;
    const std::uint64_t of_failing = 1000 * sum_of(0, failing) + failing;
    spawn(run(operations, failing, expect(sum_of(1, operations) - of_failing + failing)));
  }

 private:
  static std::uint64_t add_one(std::uint64_t number) {
    if (number % 1000 == 0) throw std::invalid_argument("every thousandth fails");
    return number + 1;
  }
  static weir::task<> run(std::uint64_t count, std::uint64_t failing, std::uint64_t& into) {
    weir::rate_limiter enough(1'000'000'000, std::chrono::seconds(1), 1'000'000'000);
    const weir::worker_pool_options options{.workers = 2, .most_workers = 8, .queue = 128, .start_rate = &enough};
    weir::worker_pool pool{&add_one, options};
    job_window<decltype(pool), 128, true> window(pool);
    const std::uint64_t sum = co_await window.run(count);
    co_await pool.shutdown(weir::shutdown_mode::drain, std::chrono::seconds(10));
    const weir::pool_stats stats = pool.stats();
    if (stats.accepted == count && stats.failed == failing && stats.completed == count - failing) into += sum;
  }
};

}  // namespace bench
