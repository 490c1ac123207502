#pragma once

#include <cstddef>
#include <limits>
#include <vector>

#include "../runtime/clock.hpp"
#include "../runtime/detail/config.hpp"
#include "../runtime/detail/slot.hpp"

namespace weir {

/// Defaults: Kubernetes' HorizontalPodAutoscaler, and for scaling to zero KEDA.
struct autoscaler_options {
  unsigned least = 1;  ///< workers while there is work; 0 also lets them all go when there is none for `idle`
  unsigned most = 10;
  /// What one worker is to have in the queue, and how busy processor and memory are to be, from 0 to 1. 0: does not
  /// matter. What asks for most workers counts.
  double queued_per_worker = 0;
  double cpu = 0;
  double memory = 0;
  /// So near to the target nothing is changed.
  double tolerance = 0.1;
  /// Within `up_period` at most `up_factor` times as many, or `up_step` more, whichever is larger.
  double up_factor = 2;
  unsigned up_step = 4;
  duration up_period = std::chrono::seconds(15);
  /// Fewer only if it was so for `down_after`; and within `down_period` at most this part of them goes.
  duration down_after = std::chrono::seconds(300);
  double down_fraction = 0.5;
  duration down_period = std::chrono::seconds(60);
  /// With least == 0: without work for so long, nobody is kept.
  duration idle = std::chrono::seconds(300);
};
static_assert(detail::trivially_destructible<autoscaler_options>);

/// What is measured of a pool.
struct load_signal {
  std::size_t queued = 0;
  double cpu = 0;  ///< part of the workers' processor that is in use
  double memory = 0;
};

/// How many workers there should be, of how many there are and what they have to do. It has no clock and no task: ask
/// it every few seconds, and resize the pool to its answer.
///
///     weir::autoscaler scale({.least = 3, .most = 50, .queued_per_worker = 30});
///     ... workers = scale(weir::now(), workers, {.queued = pool_queue_size});
///
/// Source: Kubernetes documentation, "Horizontal Pod Autoscaling": desired = ceil(current * metric / target), the
/// greatest recommendation of the stabilisation window when scaling down, and its default policies; KEDA's cooldown
/// period for zero. One thread at a time. Keeps the recommendations of one window, and is linear in them.
class autoscaler {
 public:
  /// Throws std::invalid_argument when least > most, most is 0, or a factor makes no sense.
  explicit autoscaler(const autoscaler_options& options);

  /// `at` never goes back.
  unsigned operator()(time_point at, unsigned workers, const load_signal& load);

 private:
  [[nodiscard]] unsigned recommend(unsigned workers, const load_signal& load) const;
  [[nodiscard]] unsigned decide(time_point at, unsigned workers, unsigned wanted, const load_signal& load) const;
  [[nodiscard]] unsigned workers_before(time_point at, duration period, unsigned workers) const;

  const autoscaler_options options_;
  struct number {
    time_point since;
    unsigned workers;
  };
  std::vector<number> recommended_;  // falling: only what can become the greatest
  std::vector<number> had_;
  detail::slot<time_point> last_work_;
};

}  // namespace weir
