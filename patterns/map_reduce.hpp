#pragma once

#include <concepts>
#include <cstddef>
#include <type_traits>
#include <utility>
#include <vector>

#include "../runtime/detail/config.hpp"
#include "../runtime/detail/invoke.hpp"
#include "../runtime/detail/light_std.hpp"
#include "../runtime/task.hpp"
#include "../runtime/task_group.hpp"
#include "detail/flow.hpp"
#include "detail/stage_function.hpp"
#include "detail/worker_group.hpp"
#include "stage_counters.hpp"

namespace weir {

struct map_reduce_options {
  /// Tasks that map and combine, at least one.
  unsigned workers = 1;
  /// Items that may wait before several of them.
  std::size_t buffer = 64;
  /// To be read while the pipeline runs; must outlive it.
  stage_counters* counters = nullptr;
};
static_assert(detail::trivially_destructible<map_reduce_options>);

namespace detail {

template <class Map, class State, class Combine>
class map_reduce_sink {
 public:
  using value_type = State;
  map_reduce_sink(Map map, State neutral, Combine combine, const map_reduce_options& options)
      : map_(std::move(map)), combine_(std::move(combine)), options_(options) {
    parts_.resize(std::max(1u, options.workers), part{std::move(neutral)});
  }

  template <class Puller, class Steps>
  task<State> consume(segment<Puller, Steps> items, pipeline_run& run) {
    using T = typename Steps::output;
    if (parts_.size() == 1) {
      auto all = work(std::move(items.source), std::move(items.steps), parts_.front().made);
      co_await std::move(all);
    } else {
      auto& queue = into_channel(std::move(items), run, options_.buffer, options_.counters);
      std::pair<map_reduce_sink&, channel<T>&> shared(*this, queue);
      auto all = run_workers(parts_.size(), &shared, [](void* given, std::size_t number) {
        auto& [self, from] = *static_cast<std::pair<map_reduce_sink&, channel<T>&>*>(given);
        return self.work(channel_puller<T>(from), no_steps<T>(), self.parts_[number].made);
      });
      co_await std::move(all);
    }
    State total = std::move(parts_.front().made);
    for (std::size_t i = 1; i < parts_.size(); ++i) {
      total = detail::invoke(combine_, std::move(total), std::move(parts_[i].made));
    }
    co_return std::move(total);
  }

 private:
  struct part {  // a vector of bool would have no bool
    State made;
  };

  template <class Puller, class Steps>
  task<> work(Puller source, Steps steps, State& into) {
    stage_tally tally(options_.counters);
    State state = std::move(into);  // while it runs, away from what other workers write
    while (auto next = co_await source.next()) {
      auto item = steps(item_of(next));
      if (!item) continue;
      counted_call call(tally);
      if constexpr (is_async_stage<Map, typename Steps::output>) {
        auto made = co_await detail::invoke(map_, std::move(*item));
        state = detail::invoke(combine_, std::move(state), State(std::move(made)));
      } else {
        state = detail::invoke(combine_, std::move(state), State(detail::invoke(map_, std::move(*item))));
      }
      call.returned();
      tally.count_out();
    }
    into = std::move(state);
  }

  Map map_;
  Combine combine_;
  map_reduce_options options_;
  std::vector<part> parts_;  // one for each worker
};

template <class Map, class State, class Combine>
class map_reduce_stage : public stage_base {
 public:
  map_reduce_stage(Map map, State neutral, Combine combine, const map_reduce_options& options)
      : map_(std::move(map)), neutral_(std::move(neutral)), combine_(std::move(combine)), options_(options) {}

  template <class Self, class Flow>
  static task<State> attach(Self&& self, Flow upstream) {
    using T = typename Flow::value_type;
    static_assert(std::invocable<Map&, T>, "map_reduce: the function cannot be called with the items of this pipeline");
    static_assert(std::is_convertible_v<typename unwrapped_task<stage_return_t<Map, T>>::type, State>,
                  "map_reduce: the function must make of an item what the neutral value is, or a task of it");
    const map_reduce_options options = self.options_;
    return run_pipeline(std::move(upstream), map_reduce_sink<Map, State, Combine>(
                                                 std::forward<Self>(self).map_, std::forward<Self>(self).neutral_,
                                                 std::forward<Self>(self).combine_, options));
  }

 private:
  Map map_;
  State neutral_;
  Combine combine_;
  map_reduce_options options_;
};

class map_reduce_function {
 public:
  template <class Map, std::copyable State, class Combine>
  auto operator()(Map&& map, State neutral, Combine&& combine, const map_reduce_options& options = {}) const {
    WEIR_DETAIL_REQUIRE_NAMED(Map);
    WEIR_DETAIL_REQUIRE_NAMED(Combine);
    static_assert(std::is_invocable_r_v<State, std::decay_t<Combine>&, State, State>,
                  "map_reduce: the function that combines must make one of two values as the neutral one is");
    return map_reduce_stage<std::decay_t<Map>, State, std::decay_t<Combine>>(std::forward<Map>(map), std::move(neutral),
                                                                             std::forward<Combine>(combine), options);
  }
};

}  // namespace detail

/// The end of a pipeline that makes one value of all items, on several workers:
///
///     auto words = co_await (from(lines) | map_reduce(count_words, counts(), add_counts, {.workers = 4}));
///
/// `map(item)` makes of an item, itself or with a task, what `neutral` is; `combine(a, b)` makes one of two. Each
/// worker combines what it has made, and in the end those are combined, worker by worker: so `combine` must not care
/// about order and grouping, and change nothing when one side is `neutral`. Both functions are called by all workers,
/// at the same time. What they throw ends the pipeline.
///
/// The scheme: Dean and Ghemawat, "MapReduce: Simplified Data Processing on Large Clusters", OSDI 2004, with its
/// combiner, without its keys: these are in the value.
inline constexpr detail::map_reduce_function map_reduce{};

}  // namespace weir
