#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <stdexcept>
#include <utility>
#include <vector>

#include "../runtime/async_generator.hpp"
#include "../runtime/clock.hpp"
#include "../runtime/detail/light_std.hpp"
#include "batch.hpp"
#include "detail/generator_stage.hpp"

namespace weir {
namespace detail {

/// The last `size` items, each time `step` of them have come.
class sliding_windows {
 public:
  template <class T>
  using output = std::vector<T>;
  sliding_windows(std::size_t size, std::size_t step) : size_(size), step_(step) {
    if (size == 0 || step == 0) throw std::invalid_argument("weir::window: the size and the step are at least 1");
  }

  template <class Puller, class Steps>
  auto generate(Puller source, Steps steps) && {
    static_assert(std::copy_constructible<typename Steps::output>,
                  "window: items that are in several windows are copied; for those that cannot be, use batch");
    return windows(std::move(source), std::move(steps), size_, step_);
  }

 private:
  template <class Puller, class Steps>
  static async_generator<std::vector<typename Steps::output>> windows(Puller source, Steps steps, std::size_t size,
                                                                      std::size_t step) {
    std::vector<typename Steps::output> items;
    std::size_t unseen = 0;   // of them, those that were in no window yet
    std::size_t to_skip = 0;  // between two windows, when the step is longer than they are
    while (auto next = co_await source.next()) {
      auto item = steps(item_of(next));
      if (!item) continue;
      if (to_skip > 0) {
        --to_skip;
        continue;
      }
      items.push_back(std::move(*item));
      ++unseen;
      if (items.size() < size) continue;
      std::vector<typename Steps::output> rest;
      if (step < size) {
        rest.reserve(size);
        std::copy(items.begin() + static_cast<std::ptrdiff_t>(step), items.end(), std::back_inserter(rest));
      } else {
        to_skip = step - size;
      }
      unseen = 0;
      co_yield std::exchange(items, std::move(rest));
    }
    if (unseen > 0) co_yield std::move(items);
  }

  std::size_t size_;
  std::size_t step_;
};

/// Windows of time as batches: they follow one another from when the first one is asked for.
struct window_limits {
  static constexpr bool late_begins_the_next = true;
  void begin() { since = now(); }
  [[nodiscard]] time_point due(time_point came) const noexcept {
    return add_saturated(since + (came - since) / period * period, period);
  }

  std::size_t size;
  duration period;
  time_point since{};
  std::uint64_t most_weight = static_cast<std::uint64_t>(-1);
  weightless weigh{};
};

template <class Flow>
class time_window_source {
 public:
  time_window_source(Flow upstream, duration period, std::size_t most, stage_counters* counters)
      : upstream_(std::move(upstream)), period_(period), most_(most), counters_(counters) {}

  async_generator<std::vector<typename Flow::value_type>> operator()(pipeline_run& run) && {
    return with_selectable_source(std::move(upstream_), run, most_, counters_, [&](auto source, auto steps) {
      return timed_batches(std::move(source), std::move(steps), window_limits{.size = most_, .period = period_},
                           counters_);
    });
  }

 private:
  Flow upstream_;
  duration period_;
  std::size_t most_;
  stage_counters* counters_;
};

class time_window_stage : public stage_base {
 public:
  time_window_stage(duration period, std::size_t most, stage_counters* counters)
      : period_(period), most_(most), counters_(counters) {
    if (period <= duration::zero() || most == 0) {
      throw std::invalid_argument("weir::window: the period must be positive, and a window has at least one item");
    }
  }

  template <class Flow>
  static auto attach(const time_window_stage& self, Flow upstream) {
    return flow_from<std::vector<typename Flow::value_type>>(
        time_window_source<Flow>(std::move(upstream), self.period_, self.most_, self.counters_));
  }

 private:
  duration period_;
  std::size_t most_;
  stage_counters* counters_;
};

class window_function {
 public:
  auto operator()(std::size_t size) const { return generator_stage<sliding_windows>(sliding_windows(size, size)); }
  auto operator()(std::size_t size, std::size_t step) const {
    return generator_stage<sliding_windows>(sliding_windows(size, step));
  }
  template <class Rep, class Period>
  auto operator()(std::chrono::duration<Rep, Period> period, std::size_t most) const {
    return time_window_stage(to_duration(period), most, nullptr);
  }
  template <class Rep, class Period>
  auto operator()(std::chrono::duration<Rep, Period> period, std::size_t most, stage_counters& counters) const {
    return time_window_stage(to_duration(period), most, &counters);
  }
};

}  // namespace detail

/// A stage that makes vectors of items which came one after the other:
///
///     window(10)             tumbling: 10 items, then the next 10
///     window(10, 2)          sliding: the last 10 items, each time 2 more have come; they are copied
///     window(10, 15)         10 items, 5 are left out (destroyed), the next 10
///     window(1s, 10'000)     those that came in the same second, counted from the pipeline's start
///
/// At the end of the source, items that were in no window yet make a last, shorter one. A window of time goes on when
/// its time is over; there is no empty one, and one with so many items as its bound says goes on early, what else comes
/// in that second in another one. An item came when the stage read it. A window of time may be followed by counters.
///
/// Throws std::invalid_argument for sizes of 0 and a period that is not positive. O(size) for each window.
inline constexpr detail::window_function window{};

}  // namespace weir
