#pragma once

#include <cstddef>
#include <limits>
#include <stdexcept>

#include "../runtime/clock.hpp"
#include "../runtime/detail/light_std.hpp"

namespace weir::detail {

/// Rounded up, but not because of the last bits of a double.
inline std::size_t whole_number(double number) {
  if (!(number >= 0)) throw std::invalid_argument("weir::pool_sizing: a negative number");
  constexpr double precision = 1e-9;
  const double up = number - number * precision;
  if (up >= static_cast<double>(std::numeric_limits<std::size_t>::max())) {
    throw std::invalid_argument("weir::pool_sizing: the result is too large");
  }
  const auto whole = static_cast<std::size_t>(up);
  return static_cast<double>(whole) < up ? whole + 1 : whole;
}

inline double in_seconds(duration length) { return static_cast<double>(length.count()) / 1e9; }

}  // namespace weir::detail

/// How many workers, and how long a queue: arithmetic to begin with, before anything is measured. All of it is about
/// averages; bursts need more.
namespace weir::pool_sizing {

/// How many jobs are under way on average when so many come each second and each stays so long: L = lambda * W.
/// J. D. C. Little, A Proof for the Queuing Formula L = lambda W, Operations Research 9 (1961).
[[nodiscard]] inline double jobs_under_way(double per_second, duration each) {
  return per_second * detail::in_seconds(each);
}

/// Workers for jobs that come at this rate and take so long, at least 1. `utilisation`, above 0 and at most 1, is how
/// busy they shall be: at 1 the queue grows without end as soon as anything varies. (In an M/M/1 queue a job waits
/// utilisation / (1 - utilisation) times as long as it runs.)
[[nodiscard]] inline std::size_t workers_for_rate(double per_second, duration each, double utilisation = 0.7) {
  if (!(utilisation > 0 && utilisation <= 1)) {
    throw std::invalid_argument("weir::pool_sizing: utilisation is above 0 and at most 1");
  }
  return std::max<std::size_t>(1, detail::whole_number(jobs_under_way(per_second, each) / utilisation));
}

/// Workers that keep `cpus` busy when each job computes for `computing` and waits for `waiting`:
/// cpus * (1 + waiting / computing). Jobs that only compute: as many as CPUs, on threads of their own
/// (worker_pool_options::offload). B. Goetz et al., Java Concurrency in Practice (2006), section 8.2.
[[nodiscard]] inline std::size_t workers_for_waiting(std::size_t cpus, duration computing, duration waiting) {
  if (computing <= duration::zero()) throw std::invalid_argument("weir::pool_sizing: a job computes for some time");
  const double share = detail::in_seconds(waiting) / detail::in_seconds(computing);
  return std::max<std::size_t>(1, detail::whole_number(static_cast<double>(cpus) * (1 + share)));
}

/// Workers that fit a budget, of memory or of anything else of which each takes `each`; 0 when not even one does.
[[nodiscard]] constexpr std::size_t workers_for_budget(std::size_t budget, std::size_t each) {
  return each == 0 ? budget : budget / each;
}

/// How many times as fast `workers` are as one, when only this part of the work can be shared:
/// 1 / ((1 - parallel) + parallel / workers). G. M. Amdahl, Validity of the single processor approach to achieving
/// large scale computing capabilities, AFIPS Spring Joint Computer Conference (1967).
[[nodiscard]] inline double speed_up(double parallel, std::size_t workers) {
  if (!(parallel >= 0 && parallel <= 1) || workers == 0) {
    throw std::invalid_argument("weir::pool_sizing: the parallel part is between 0 and 1, and there are workers");
  }
  return 1 / ((1 - parallel) + parallel / static_cast<double>(workers));
}

/// Room for so many jobs for each worker; three keep them busy across short pauses of whoever submits.
[[nodiscard]] constexpr std::size_t queue_for_workers(std::size_t workers, std::size_t for_each = 3) {
  return workers * for_each;
}

/// The longest queue in which a job waits no longer than `longest`, with so many workers and so long a job: Little's
/// law once more. What would wait longer is better refused (try_submit, submit_for).
[[nodiscard]] inline std::size_t queue_for_wait(std::size_t workers, duration each, duration longest) {
  if (each <= duration::zero()) throw std::invalid_argument("weir::pool_sizing: a job takes some time");
  constexpr double precision = 1e-9;
  const double jobs = static_cast<double>(workers) * detail::in_seconds(longest) / detail::in_seconds(each);
  return static_cast<std::size_t>(jobs * (1 + precision));
}

}  // namespace weir::pool_sizing
