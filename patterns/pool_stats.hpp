#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "../runtime/clock.hpp"
#include "../runtime/prometheus.hpp"

namespace weir {

/// Where a pool is in its life; it only goes forward.
enum class pool_state : std::uint8_t {
  running,     ///< accepts jobs; its workers start with the first one
  draining,    ///< accepts no more, and does those that it has
  cancelling,  ///< stops those that run; those that waited have been answered
  ended,       ///< no worker is left
};

/// "running", "draining", ...
[[nodiscard]] const char* to_string(pool_state state) noexcept;

/// What a pool has done so far, and what it does now. While it works the numbers are taken one after the other, and may
/// miss a job that is just passing from one to the next; at rest they are exact. At the end
/// `accepted == completed + failed + cancelled`.
struct pool_stats {
  pool_state state = pool_state::running;
  std::uint64_t accepted = 0;
  std::uint64_t completed = 0;  ///< jobs that returned
  std::uint64_t failed = 0;     ///< jobs that threw, ran out of time, or came too late to be begun
  std::uint64_t cancelled = 0;  ///< jobs that were stopped, or never begun, because the pool was
  std::uint64_t expired = 0;    ///< of those that failed: never begun, because their deadline had come
  std::uint64_t refused = 0;    ///< calls of submit and try_submit that got no place

  std::size_t queued = 0;         ///< jobs that wait for a worker
  std::size_t most_queued = 0;    ///< the most that did, as seen by each submit() with options.high_water, otherwise by
                                  ///< those whose job is timed and those that find the queue full
  std::uint64_t high_waters = 0;  ///< times that the queue has risen to options.high_water
  std::size_t workers = 0;        ///< tasks that do jobs
  std::size_t most_workers = 0;   ///< the most that there were
  std::size_t busy = 0;           ///< of them: inside a job
  std::uint64_t open_failures = 0;  ///< with worker_state: times that one could not be opened

  std::uint64_t timed = 0;  ///< jobs that were timed, see options.time_every
  duration waited{};        ///< how long those waited for a worker, all together
  duration longest_wait{};  ///< and the longest of them
  duration ran{};           ///< how long those ran that have ended, all together

  /// How many of the workers are busy, between 0 and 1. Near 1 all the time: more workers, or fewer jobs.
  [[nodiscard]] double utilisation() const noexcept {
    return workers == 0 ? 0 : static_cast<double>(busy) / static_cast<double>(workers);
  }
  [[nodiscard]] duration mean_wait() const noexcept {
    return timed == 0 ? duration::zero() : waited / static_cast<duration::rep>(timed);
  }
};

/// A pool's numbers in Prometheus' text format, as prometheus_text() for a runtime. Show several pools by their own
/// label, one after the other, without the lines that begin with "#" of all but the first.
[[nodiscard]] std::string prometheus_text(const pool_stats& stats, std::initializer_list<prometheus_label> labels = {});

}  // namespace weir
