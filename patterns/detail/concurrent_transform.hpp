#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <utility>

#include "flow.hpp"

namespace weir {

struct transform_options {
  /// Tasks that call the function, at least one.
  unsigned workers = 1;
  /// Items that may wait before the stage, and results that may wait behind it.
  std::size_t buffer = 64;
  /// Results go on in the order of the items.
  bool ordered = false;
  /// To be read while the pipeline runs; must outlive it.
  stage_counters* counters = nullptr;
};
static_assert(std::is_trivially_destructible_v<transform_options>);

namespace detail {

/// Workers that take from one channel and send to another, in whatever order they get done.
template <class T, class U, class Fn>
class unordered_workers {
 public:
  unordered_workers(Fn function, const transform_options& options)
      : function_(std::move(function)), counters_(options.counters), results_(options.buffer) {}

  channel_puller<U> run(pipeline_run& run, channel<T>& items, unsigned workers) {
    running_.store(workers, std::memory_order_relaxed);
    for (unsigned i = 0; i < workers; ++i) run.spawn(work(items));
    return channel_puller<U>(results_);
  }

 private:
  task<> work(channel<T>& items) {
    while (auto item = co_await items.receive()) {
      std::optional<U> result;
      {
        counted_call call(counters_);
        if constexpr (is_async_stage<Fn, T>) {
          auto made = co_await std::invoke(function_, std::move(*item));
          result.emplace(std::move(made));
        } else {
          result.emplace(std::invoke(function_, std::move(*item)));
        }
        call.returned();
      }
      counted_hand_on hand_on(counters_);
      co_await results_.send(std::move(*result));
      hand_on.done();
    }
    if (running_.fetch_sub(1, std::memory_order_acq_rel) == 1) results_.close();
  }

  Fn function_;
  stage_counters* counters_;
  channel<U> results_;
  std::atomic<unsigned> running_{0};
};

/// The same, but results go on in the order of the items. Each item has a number; its result goes to the slot of that
/// number modulo the number of slots, and the slots are emptied in turn. A slot holds one result, so that nobody gets
/// further ahead than there are slots. The oldest item's slot is free, and its worker waits for nobody: no deadlock.
template <class T, class U, class Fn>
class ordered_workers {
  struct numbered {
    std::uint64_t number;
    std::optional<T> item;  // empty: the end
  };

 public:
  ordered_workers(Fn function, const transform_options& options)
      : function_(std::move(function)), counters_(options.counters), items_(options.buffer) {
    const std::size_t slots = std::max(1u, options.workers) + options.buffer;
    for (std::size_t i = 0; i < slots; ++i) slots_.emplace_back(std::size_t{1});
  }

  template <class Puller, class Steps>
  channel_puller<U> run(pipeline_run& run, segment<Puller, Steps>&& items, unsigned workers) {
    run.spawn(number(std::move(items.source), std::move(items.steps)));
    for (unsigned i = 0; i < workers; ++i) run.spawn(work());
    run.spawn(hand_on_in_order());
    return channel_puller<U>(results_);
  }

 private:
  template <class Puller, class Steps>
  task<> number(Puller source, Steps steps) {
    std::uint64_t count = 0;
    while (auto next = co_await source.next()) {
      auto item = steps(item_of(next));
      if (!item) continue;
      if (counters_) counters_->count_queued();
      numbered one{count++, std::move(item)};
      co_await items_.send(std::move(one));
    }
    numbered end{count, std::nullopt};
    co_await items_.send(std::move(end));
    items_.close();
  }

  task<> work() {
    while (auto next = co_await items_.receive()) {
      std::optional<U> result;
      if (next->item) {
        counted_call call(counters_);
        if constexpr (is_async_stage<Fn, T>) {
          auto made = co_await std::invoke(function_, std::move(*next->item));
          result.emplace(std::move(made));
        } else {
          result.emplace(std::invoke(function_, std::move(*next->item)));
        }
        call.returned();
      }
      const bool counts = result.has_value();
      counted_hand_on hand_on(counters_);
      co_await slots_[next->number % slots_.size()].send(std::move(result));
      if (counts) hand_on.done();
    }
  }

  task<> hand_on_in_order() {
    for (std::size_t at = 0;; at = (at + 1) % slots_.size()) {
      auto result = co_await slots_[at].receive();
      if (!*result) break;
      co_await results_.send(std::move(**result));
    }
    results_.close();
  }

  Fn function_;
  stage_counters* counters_;
  channel<numbered> items_;
  std::deque<channel<std::optional<U>>> slots_;
  channel<U> results_{0};
};

/// The source behind a stage with workers of its own.
template <class Flow, class Fn>
class concurrent_transform {
  using T = typename Flow::value_type;
  using U = stage_result_t<Fn, T>;

 public:
  concurrent_transform(Flow upstream, Fn function, const transform_options& options)
      : upstream_(std::move(upstream)), function_(std::move(function)), options_(options) {}

  channel_puller<U> operator()(pipeline_run& run) && {
    auto items = std::move(upstream_).open(run);
    const unsigned workers = std::max(1u, options_.workers);
    if (options_.ordered) {
      auto& stage = run.keep<ordered_workers<T, U, Fn>>(std::move(function_), options_);
      return stage.run(run, std::move(items), workers);
    }
    auto& stage = run.keep<unordered_workers<T, U, Fn>>(std::move(function_), options_);
    return stage.run(run, into_channel(std::move(items), run, options_.buffer, options_.counters), workers);
  }

 private:
  Flow upstream_;
  Fn function_;
  transform_options options_;
};

}  // namespace detail
}  // namespace weir
