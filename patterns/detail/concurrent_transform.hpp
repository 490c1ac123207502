#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "../../runtime/detail/config.hpp"
#include "../../runtime/detail/invoke.hpp"
#include "../../runtime/detail/light_std.hpp"
#include "flow.hpp"
#include "stage_function.hpp"

namespace weir {

struct transform_options {
  /// Tasks that call the function, at least one.
  unsigned workers = 1;
  /// Items that may wait before the stage, and results that may wait behind it; with `ordered` both together.
  std::size_t buffer = 64;
  /// Results go on in the order of the items.
  bool ordered = false;
  /// To be read while the pipeline runs; must outlive it.
  stage_counters* counters = nullptr;
};
static_assert(detail::trivially_destructible<transform_options>);

namespace detail {

/// An item, or what was made of it, with its place in the order.
template <class T>
class numbered {
 public:
  template <class U>
  numbered(std::uint64_t place, U&& item) : number(place), value(std::forward<U>(item)) {}
  std::uint64_t number;
  T value;
};

/// What stands in the order for an item: its result, or an optional one where there may be none.
template <class U, bool maybe>
using in_its_place = std::conditional_t<maybe, std::optional<U>, U>;

/// Workers that take from one channel and send to another, in whatever order they get done. With `in_order` items have
/// numbers, and results get those of their items.
template <class T, class U, class Fn, bool in_order>
class transform_workers {
  using item_type = std::conditional_t<in_order, numbered<T>, T>;
  using result_type = std::conditional_t<in_order, numbered<in_its_place<U, may_make_nothing<Fn>>>, U>;

 public:
  transform_workers(Fn function, const transform_options& options)
      : function_(std::move(function)), counters_(options.counters), results_(options.buffer) {}

  channel<result_type>& run(pipeline_run& run, channel<item_type>& items, unsigned workers) {
    running_.store(workers, std::memory_order_relaxed);
    for (unsigned i = 0; i < workers; ++i) run.spawn(work(items));
    return results_;
  }

 private:
  task<> work(channel<item_type>& items) {
    stage_tally tally(counters_);
    while (auto item = co_await items.receive()) {
      std::optional<result_type> result;
      {
        counted_call call(tally);
        if constexpr (is_async_stage<Fn, T>) {
          auto made = co_await detail::invoke(function_, std::move(value_of(*item)));
          put(result, *item, std::move(made));
        } else {
          put(result, *item, detail::invoke(function_, std::move(value_of(*item))));
        }
        if (has_made(result)) call.returned();
      }
      if (!result) continue;
      counted_hand_on hand_on(tally);
      co_await results_.send(std::move(*result));
      if constexpr (!in_order) hand_on.done();
    }
    if (running_.fetch_sub(1, std::memory_order_acq_rel) == 1) results_.close();
  }

  static T& value_of(item_type& item) noexcept {
    if constexpr (in_order) {
      return item.value;
    } else {
      return item;
    }
  }
  template <class Made>
  static void put(std::optional<result_type>& into, const item_type& of, Made&& made) {
    if constexpr (in_order) {
      into.emplace(of.number, std::forward<Made>(made));
    } else {
      put_made<Fn>(into, std::forward<Made>(made));
    }
  }
  static bool has_made(const std::optional<result_type>& result) noexcept {
    if constexpr (in_order && may_make_nothing<Fn>) {
      return result->value.has_value();
    } else {
      return result.has_value();
    }
  }

  Fn function_;
  stage_counters* counters_;
  channel<result_type> results_;
  std::atomic<unsigned> running_{0};
};

/// Numbers items before such workers, and hands on their results in that order. Each item that is under way, from the
/// source up to being handed on, holds one of a number of places. So results that come early find each its own slot,
/// and the oldest item never waits for a place: no deadlock.
template <class T, class U, bool maybe>
class item_order {
  using result_type = in_its_place<U, maybe>;
  struct place {};

 public:
  item_order(const transform_options& options, std::size_t places)
      : counters_(options.counters), items_(options.buffer), taken_places_(places), early_(places) {}

  template <class Puller, class Steps>
  channel<numbered<T>>& number(pipeline_run& run, segment<Puller, Steps>&& items) {
    run.spawn(number_all(std::move(items.source), std::move(items.steps)));
    return items_;
  }
  channel<U>& restore(pipeline_run& run, channel<numbered<result_type>>& results) {
    run.spawn(hand_on_in_order(results));
    return results_;
  }

 private:
  template <class Puller, class Steps>
  task<> number_all(Puller source, Steps steps) {
    stage_tally tally(counters_);
    std::uint64_t count = 0;
    co_await taken_places_.send(place());
    while (auto next = co_await source.next()) {
      auto item = steps(item_of(next));
      if (!item) continue;
      tally.count_queued();
      numbered<T> one(count++, std::move(*item));
      co_await items_.send(std::move(one));
      co_await taken_places_.send(place());
    }
    items_.close();
  }

  task<> hand_on_in_order(channel<numbered<result_type>>& results) {
    stage_tally tally(counters_);
    std::uint64_t next = 0;
    while (auto result = co_await results.receive()) {
      slot(result->number).emplace(std::move(result->value));
      while (slot(next)) {
        if (U* const made = made_in(*slot(next))) {
          co_await results_.send(std::move(*made));
          tally.count_out();
        }
        slot(next++).reset();
        taken_places_.try_receive();
      }
    }
    results_.close();
  }

  std::optional<result_type>& slot(std::uint64_t number) noexcept { return early_[number % early_.size()]; }
  static U* made_in(result_type& place) noexcept {
    if constexpr (maybe) {
      return place ? std::addressof(*place) : nullptr;
    } else {
      return std::addressof(place);
    }
  }

  stage_counters* counters_;
  channel<numbered<T>> items_;
  channel<place> taken_places_;
  std::vector<std::optional<result_type>> early_;
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
      auto& order = run.keep<item_order<T, U, may_make_nothing<Fn>>>(options_, workers + options_.buffer);
      auto& stage = run.keep<transform_workers<T, U, Fn, true>>(std::move(function_), options_);
      return channel_puller<U>(order.restore(run, stage.run(run, order.number(run, std::move(items)), workers)));
    }
    auto& stage = run.keep<transform_workers<T, U, Fn, false>>(std::move(function_), options_);
    auto& queue = into_channel(std::move(items), run, options_.buffer, options_.counters);
    return channel_puller<U>(stage.run(run, queue, workers));
  }

 private:
  Flow upstream_;
  Fn function_;
  transform_options options_;
};

}  // namespace detail
}  // namespace weir
