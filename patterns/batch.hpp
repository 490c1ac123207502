#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <utility>
#include <vector>

#include "../runtime/async_generator.hpp"
#include "../runtime/clock.hpp"
#include "../runtime/sleep.hpp"
#include "../sync/select.hpp"
#include "detail/flow.hpp"
#include "stage_counters.hpp"

namespace weir {
namespace detail {

/// Items that are being gathered.
template <class T>
class open_batch {
 public:
  open_batch(std::size_t size, stage_counters* counters) : size_(size), tally_(counters) {}

  [[nodiscard]] bool empty() const noexcept { return items_.empty(); }
  [[nodiscard]] bool full() const noexcept { return items_.size() >= size_; }
  void add(T&& item) {
    constexpr std::size_t most_in_advance = 1024;
    if (items_.empty()) items_.reserve(std::min(size_, most_in_advance));
    items_.push_back(std::move(item));
    tally_.count_in();
  }
  std::vector<T> take() noexcept {
    tally_.count_out();
    return std::exchange(items_, {});
  }

 private:
  std::size_t size_;
  stage_tally tally_;
  std::vector<T> items_;
};

template <class Puller, class Steps>
async_generator<std::vector<typename Steps::output>> batches(Puller source, Steps steps, std::size_t size,
                                                             stage_counters* counters) {
  open_batch<typename Steps::output> open(size, counters);
  while (auto next = co_await source.next()) {
    auto item = steps(item_of(next));
    if (!item) continue;
    open.add(std::move(*item));
    if (open.full()) co_yield open.take();
  }
  if (!open.empty()) co_yield open.take();
}

/// The source's next() is selectable: what has been received is in the batch, whatever the clock says. While the source
/// always has something the select would never come to the clock, so that is looked at as well.
template <class Puller, class Steps>
async_generator<std::vector<typename Steps::output>> timed_batches(Puller source, Steps steps, std::size_t size,
                                                                   duration longest, stage_counters* counters) {
  open_batch<typename Steps::output> open(size, counters);
  time_point due{};
  for (;;) {
    if (open.empty()) {
      auto next = co_await source.next();
      if (!next) co_return;
      auto item = steps(item_of(next));
      if (!item) continue;
      open.add(std::move(*item));
      due = add_saturated(now(), longest);
    } else {
      auto chosen = co_await select_ordered(source.next(), sleep_until(due));
      if (chosen.index() == 1) {
        co_yield open.take();
        continue;
      }
      auto next = std::move(chosen).template get<0>();
      if (!next) break;
      auto item = steps(item_of(next));
      if (item) open.add(std::move(*item));
    }
    const bool complete = open.full() || now() > due;
    if (complete) co_yield open.take();
  }
  co_yield open.take();
}

template <class Flow>
class batch_source {
 public:
  batch_source(Flow upstream, std::size_t size, duration longest, stage_counters* counters)
      : upstream_(std::move(upstream)), size_(size), longest_(longest), counters_(counters) {}

  async_generator<std::vector<typename Flow::value_type>> operator()(pipeline_run& run) && {
    auto items = std::move(upstream_).open(run);
    if (longest_ == duration::max()) {
      return batches(std::move(items.source), std::move(items.steps), size_, counters_);
    }
    if constexpr (pulls_channel<decltype(items.source)>) {
      return timed_batches(std::move(items.source), std::move(items.steps), size_, longest_, counters_);
    } else {
      using T = typename Flow::value_type;
      // A generator cannot be left while it waits: a task reads it, no further ahead than the batch is long.
      constexpr std::size_t furthest = 64;
      auto& queue = into_channel(std::move(items), run, std::min(size_, furthest), counters_);
      return timed_batches(channel_puller<T>(queue), no_steps<T>(), size_, longest_, counters_);
    }
  }

 private:
  Flow upstream_;
  std::size_t size_;
  duration longest_;
  stage_counters* counters_;
};

class batch_stage : public stage_base {
 public:
  batch_stage(std::size_t size, duration longest, stage_counters* counters)
      : size_(size), longest_(longest), counters_(counters) {
    if (size == 0) throw std::invalid_argument("weir::batch: a batch has at least one item");
  }

  template <class Flow>
  static auto attach(const batch_stage& self, Flow upstream) {
    return flow_from<std::vector<typename Flow::value_type>>(
        batch_source<Flow>(std::move(upstream), self.size_, self.longest_, self.counters_));
  }

 private:
  std::size_t size_;
  duration longest_;
  stage_counters* counters_;
};

class batch_function {
 public:
  auto operator()(std::size_t size) const { return batch_stage(size, duration::max(), nullptr); }
  auto operator()(std::size_t size, stage_counters& counters) const {
    return batch_stage(size, duration::max(), &counters);
  }
  template <class Rep, class Period>
  auto operator()(std::size_t size, std::chrono::duration<Rep, Period> longest) const {
    return batch_stage(size, to_duration(longest), nullptr);
  }
  template <class Rep, class Period>
  auto operator()(std::size_t size, std::chrono::duration<Rep, Period> longest, stage_counters& counters) const {
    return batch_stage(size, to_duration(longest), &counters);
  }
};

}  // namespace detail

/// A stage that gathers items into vectors:
///
///     batch(256)          of 256 items; the last one may be shorter
///     batch(256, 50ms)    the same, but no item waits longer than 50 ms for its batch to fill
///
/// The last, partial batch goes on when the source ends; there is no empty one. The time counts from a batch's first
/// item. Either may be followed by counters. Throws std::invalid_argument for a size of 0.
inline constexpr detail::batch_function batch{};

}  // namespace weir
