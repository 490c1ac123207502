#pragma once

#include <cstddef>
#include <cstdint>

#include "../runtime/clock.hpp"
#include "../runtime/detail/config.hpp"
#include "../runtime/detail/light_std.hpp"
#include "../sync/limiter.hpp"

namespace weir {

/// Which of the jobs that wait is done next. Equal ones: first come, first served.
enum class job_order : std::uint8_t {
  fifo,      ///< the one that has waited longest
  priority,  ///< the one with the highest priority; waiting raises it, see worker_pool_options::aging
  deadline,  ///< the one that must be done first
};

struct worker_pool_options {
  /// The value of `queue` that stands for three places for each worker there may be.
  static constexpr std::size_t by_workers = static_cast<std::size_t>(-1);

  /// Tasks that do jobs, and so how many jobs run at once; of a pool that grows the least number. 0: as many as CPUs
  /// that this process may use. See pool_sizing.hpp.
  std::size_t workers = 0;
  /// The greatest number, of a pool that grows and shrinks; 0: always `workers`.
  std::size_t most_workers = 0;
  /// Jobs that may wait for a worker. 0: none, a job is handed to a worker that waits (only with job_order::fifo).
  std::size_t queue = by_workers;
  /// A pool that grows does so when its queue is full, and for each job that has waited so long (at the latest half as
  /// long again).
  duration grow_after = std::chrono::milliseconds(100);
  /// A worker beyond the least number ends when it had nothing to do for so long.
  duration idle = std::chrono::seconds(5);
  job_order order = job_order::fifo;
  /// With job_order::priority: waiting for so long is worth one level. So a job is passed by one that is n levels
  /// above it only if that comes less than n times this after it: nobody starves. duration::max(): never.
  /// With job_order::deadline: a job without one takes its place as if it had to be done so long after it came.
  duration aging = std::chrono::seconds(10);
  /// A job that takes longer is stopped, joined, and fails with timed_out. It counts from when a worker begins it, and
  /// covers what middleware does. A plain function cannot be stopped.
  duration job_timeout = duration::max();
  /// Each submit() takes a token before it takes a place in the queue. It must outlive the pool's tasks.
  limiter* submit_rate = nullptr;
  /// A worker takes a token before it begins a job. It must outlive the pool's tasks.
  limiter* start_rate = nullptr;
  /// Jobs are plain functions that compute or block: each runs in weir::offload.
  bool offload = false;
  /// A depth of the queue that is worth a warning: see worker_pool::on_high_water(). 0: none.
  std::size_t high_water = 0;
  /// Of how many jobs one is timed, for pool_stats. 1: all; 0: none.
  unsigned time_every = 64;
  /// With worker_state: what the end of a worker's state may take.
  duration close_limit = std::chrono::seconds(5);
  /// With worker_state: when a worker could not open its own, and others work on, it is replaced after so long.
  duration reopen_after = std::chrono::seconds(1);
};
static_assert(detail::trivially_destructible<worker_pool_options>);

/// What submit_with() and try_submit_with() say of one job.
struct submit_options {
  /// With job_order::priority: the greater, the sooner.
  int priority = 0;
  /// When it has to be done. A job whose time has come before a worker is free is never begun, one that runs is
  /// stopped; either fails with timed_out.
  time_point deadline = time_point::max();
  /// How long submit_with() waits for a place in the queue, at most until the deadline.
  duration patience = duration::max();
};
static_assert(detail::trivially_destructible<submit_options>);

}  // namespace weir
