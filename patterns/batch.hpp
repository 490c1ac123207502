#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

#include "../runtime/async_generator.hpp"
#include "../runtime/clock.hpp"
#include "../runtime/detail/invoke.hpp"
#include "../runtime/detail/light_std.hpp"
#include "../runtime/detail/take.hpp"
#include "../runtime/sleep.hpp"
#include "../sync/select.hpp"
#include "detail/flow.hpp"
#include "stage_counters.hpp"

namespace weir {
namespace detail {

/// When a batch is complete. `due` is when one is whose first item came at that time; one that comes at `due` or later
/// belongs to the batch still, unless `late_begins_the_next`.
template <class Weigh>
struct batch_limits {
  static constexpr bool late_begins_the_next = false;
  void begin() noexcept {}
  [[nodiscard]] time_point due(time_point came) const noexcept { return add_saturated(came, longest); }

  std::size_t size;
  duration longest;
  std::uint64_t most_weight;
  Weigh weigh;
};

class weightless {
 public:
  template <class T>
  std::uint64_t operator()(const T&) const noexcept {
    return 0;
  }
};

/// Items that are being gathered.
template <class T>
class open_batch {
 public:
  open_batch(std::size_t size, std::uint64_t most_weight, stage_counters* counters)
      : size_(size), most_weight_(most_weight), tally_(counters) {}

  [[nodiscard]] bool empty() const noexcept { return items_.empty(); }
  [[nodiscard]] bool full() const noexcept { return items_.size() >= size_ || weight_ >= most_weight_; }
  /// Would one of this weight be too much?
  [[nodiscard]] bool overflows(std::uint64_t weight) const noexcept {
    return !items_.empty() && weight > most_weight_ - weight_;
  }
  void add(T&& item, std::uint64_t weight = 0) {
    constexpr std::size_t most_in_advance = 1024;
    if (items_.empty()) items_.reserve(std::min(size_, most_in_advance));
    items_.push_back(std::move(item));
    weight_ += std::min(weight, most_weight_ - weight_);
    tally_.count_in();
  }
  std::vector<T> take() noexcept {
    tally_.count_out();
    weight_ = 0;
    return detail::take(items_);
  }

 private:
  std::size_t size_;
  std::uint64_t most_weight_;
  std::uint64_t weight_ = 0;  // at most most_weight_
  stage_tally tally_;
  std::vector<T> items_;
};

template <class Puller, class Steps, class Weigh>
async_generator<std::vector<typename Steps::output>> batches(Puller source, Steps steps, batch_limits<Weigh> limits,
                                                             stage_counters* counters) {
  open_batch<typename Steps::output> open(limits.size, limits.most_weight, counters);
  while (auto next = co_await source.next()) {
    auto item = steps(item_of(next));
    if (!item) continue;
    const std::uint64_t weight = detail::invoke(limits.weigh, std::as_const(*item));
    if (open.overflows(weight)) co_yield open.take();
    open.add(std::move(*item), weight);
    if (open.full()) co_yield open.take();
  }
  if (!open.empty()) co_yield open.take();
}

/// The source's next() is selectable: what has been received is in the batch, whatever the clock says. While the source
/// always has something the select would never come to the clock, so that is looked at as well.
template <class Puller, class Steps, class Limits>
async_generator<std::vector<typename Steps::output>> timed_batches(Puller source, Steps steps, Limits limits,
                                                                   stage_counters* counters) {
  open_batch<typename Steps::output> open(limits.size, limits.most_weight, counters);
  limits.begin();
  time_point due{};
  for (;;) {
    std::optional<typename Steps::output> item;
    if (open.empty()) {
      auto next = co_await source.next();
      if (!next) co_return;
      auto made = steps(item_of(next));
      if (made) item.emplace(std::move(*made));
    } else {
      auto chosen = co_await select_ordered(source.next(), sleep_until(due));
      if (chosen.index() == 1) {
        co_yield open.take();
        continue;
      }
      auto next = std::move(chosen).template get<0>();
      if (!next) break;
      auto made = steps(item_of(next));
      if (made) item.emplace(std::move(*made));
    }
    const time_point came = item || Limits::late_begins_the_next ? now() : time_point();
    if constexpr (Limits::late_begins_the_next) {
      const bool over = !open.empty() && came >= due;
      if (over) co_yield open.take();
    }
    if (item) {
      const std::uint64_t weight = detail::invoke(limits.weigh, std::as_const(*item));
      if (open.overflows(weight)) co_yield open.take();
      if (open.empty()) due = limits.due(came);
      open.add(std::move(*item), weight);
    }
    if (open.empty()) continue;
    bool complete = open.full();
    if constexpr (!Limits::late_begins_the_next) complete = complete || now() > due;
    if (complete) co_yield open.take();
  }
  co_yield open.take();
}

/// Calls `make` with a source whose next() can be a case of a select: the flow's own, or a channel. A generator cannot
/// be left while it waits, so a task reads that, no further ahead than `ahead` items.
template <class Flow, class Make>
auto with_selectable_source(Flow upstream, pipeline_run& run, std::size_t ahead, stage_counters* counters, Make make) {
  auto items = std::move(upstream).open(run);
  if constexpr (pulls_channel<decltype(items.source)>) {
    return make(std::move(items.source), std::move(items.steps));
  } else {
    using T = typename Flow::value_type;
    constexpr std::size_t furthest = 64;
    auto& queue = into_channel(std::move(items), run, std::min(ahead, furthest), counters);
    return make(channel_puller<T>(queue), no_steps<T>());
  }
}

/// Without `timed` there is no `longest`, and nothing that waits for it is compiled.
template <class Flow, class Weigh, bool timed>
class batch_source {
 public:
  batch_source(Flow upstream, batch_limits<Weigh> limits, stage_counters* counters)
      : upstream_(std::move(upstream)), limits_(std::move(limits)), counters_(counters) {}

  async_generator<std::vector<typename Flow::value_type>> operator()(pipeline_run& run) && {
    if constexpr (timed) {
      if (limits_.longest != duration::max()) {
        const std::size_t ahead = limits_.size;
        return with_selectable_source(std::move(upstream_), run, ahead, counters_, [&](auto source, auto steps) {
          return timed_batches(std::move(source), std::move(steps), std::move(limits_), counters_);
        });
      }
    }
    auto items = std::move(upstream_).open(run);
    return batches(std::move(items.source), std::move(items.steps), std::move(limits_), counters_);
  }

 private:
  Flow upstream_;
  batch_limits<Weigh> limits_;
  stage_counters* counters_;
};

template <class Weigh, bool timed>
class batch_stage : public stage_base {
 public:
  batch_stage(batch_limits<Weigh> limits, stage_counters* counters) : limits_(std::move(limits)), counters_(counters) {
    if (limits_.size == 0) throw std::invalid_argument("weir::batch: a batch has at least one item");
    if (limits_.most_weight == 0) throw std::invalid_argument("weir::batch_by_weight: a batch weighs at least 1");
  }

  template <class Self, class Flow>
  static auto attach(Self&& self, Flow upstream) {
    using T = typename Flow::value_type;
    static_assert(std::is_invocable_r_v<std::uint64_t, Weigh&, const T&>,
                  "batch_by_weight: the function must tell what a const item of this pipeline weighs");
    stage_counters* const counters = self.counters_;
    return flow_from<std::vector<T>>(
        batch_source<Flow, Weigh, timed>(std::move(upstream), std::forward<Self>(self).limits_, counters));
  }

 private:
  batch_limits<Weigh> limits_;
  stage_counters* counters_;
};

class batch_function {
 public:
  auto operator()(std::size_t size) const { return stage<false>(size, duration::max(), nullptr); }
  auto operator()(std::size_t size, stage_counters& counters) const {
    return stage<false>(size, duration::max(), &counters);
  }
  template <class Rep, class Period>
  auto operator()(std::size_t size, std::chrono::duration<Rep, Period> longest) const {
    return stage<true>(size, to_duration(longest), nullptr);
  }
  template <class Rep, class Period>
  auto operator()(std::size_t size, std::chrono::duration<Rep, Period> longest, stage_counters& counters) const {
    return stage<true>(size, to_duration(longest), &counters);
  }

 private:
  template <bool timed>
  static batch_stage<weightless, timed> stage(std::size_t size, duration longest, stage_counters* counters) {
    return batch_stage<weightless, timed>({size, longest, static_cast<std::uint64_t>(-1), {}}, counters);
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
