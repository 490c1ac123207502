#pragma once

#include <concepts>
#include <cstddef>
#include <type_traits>
#include <utility>

#include "../runtime/detail/config.hpp"
#include "../runtime/detail/invoke.hpp"
#include "detail/flow.hpp"
#include "detail/stage_function.hpp"
#include "detail/worker_group.hpp"
#include "or_else.hpp"
#include "stage_counters.hpp"

namespace weir {

struct for_each_options {
  /// Tasks that call the function, at least one.
  unsigned workers = 1;
  /// Items that may wait before several of them; one alone needs no queue.
  std::size_t buffer = 64;
  /// To be read while the pipeline runs; must outlive it.
  stage_counters* counters = nullptr;
};
static_assert(detail::trivially_destructible<for_each_options>);

namespace detail {

/// Without `several` it compiles nothing for more than one worker: no queue before them, and no group.
template <class Fn, bool several>
class for_each_sink {
 public:
  using value_type = void;
  for_each_sink(Fn function, const for_each_options& options) : function_(std::move(function)), options_(options) {}

  template <class Puller, class Steps>
  task<> consume(segment<Puller, Steps> items, pipeline_run& run) {
    if constexpr (several) {
      if (options_.workers > 1)
        return work_together(into_channel(std::move(items), run, options_.buffer, options_.counters));
    }
    return work(std::move(items.source), std::move(items.steps));
  }

 private:
  template <class T>
  task<> work_together(channel<T>& queue) {
    queue_ = &queue;
    // A group of their own: before the queue there may be tasks that do not end by themselves.
    return run_workers(options_.workers, this, [](void* shared, std::size_t) {
      auto& self = *static_cast<for_each_sink*>(shared);
      return self.work(channel_puller<T>(*static_cast<channel<T>*>(self.queue_)), no_steps<T>());
    });
  }

  template <class Puller, class Steps>
  task<> work(Puller source, Steps steps) {
    stage_tally tally(options_.counters);
    while (auto next = co_await source.next()) {
      auto item = steps(item_of(next));
      if (!item) continue;
      counted_call call(tally);
      if constexpr (may_make_nothing<Fn>) {
        if constexpr (is_async_stage<Fn, typename Steps::output>) {
          auto done = co_await detail::invoke(function_, std::move(*item));
          if (!done) continue;
        } else {
          if (!detail::invoke(function_, std::move(*item))) continue;
        }
      } else if constexpr (is_async_stage<Fn, typename Steps::output>) {
        co_await detail::invoke(function_, std::move(*item));
      } else {
        detail::invoke(function_, std::move(*item));
      }
      call.returned();
      tally.count_out();
    }
  }

  Fn function_;
  for_each_options options_;
  void* queue_ = nullptr;  // what several workers take from: a channel of the items
};

template <class Fn, bool several>
class for_each_stage : public stage_base {
 public:
  for_each_stage(Fn function, const for_each_options& options) : function_(std::move(function)), options_(options) {}

  /// See or_else.hpp.
  template <class Target>
  auto or_else(Target&& target) && {
    WEIR_DETAIL_REQUIRE_NAMED(Target);
    auto guard = guard_with(std::move(function_), std::forward<Target>(target));
    return for_each_stage<decltype(guard), several>(std::move(guard), options_);
  }

  template <class Self, class Flow>
  static task<> attach(Self&& self, Flow upstream) {
    static_assert(std::invocable<Fn&, typename Flow::value_type>,
                  "for_each: the function cannot be called with the items of this pipeline");
    static_assert(!returns_lost_operation<Fn, typename Flow::value_type>,
                  "for_each: the function returns an operation that nobody would await: make it a coroutine that does");
    const for_each_options options = self.options_;
    return run_pipeline(std::move(upstream), for_each_sink<Fn, several>(std::forward<Self>(self).function_, options));
  }

 private:
  Fn function_;
  for_each_options options_;
};

class for_each_function {
 public:
  template <class Fn>
  auto operator()(Fn&& function) const {
    WEIR_DETAIL_REQUIRE_NAMED(Fn);
    return for_each_stage<std::decay_t<Fn>, false>(std::forward<Fn>(function), for_each_options());
  }
  template <class Fn>
  auto operator()(Fn&& function, const for_each_options& options) const {
    WEIR_DETAIL_REQUIRE_NAMED(Fn);
    return for_each_stage<std::decay_t<Fn>, true>(std::forward<Fn>(function), options);
  }
};

}  // namespace detail

/// The end of a pipeline: calls `function(item)`, which may return a task, for every item, and makes a task of it all:
///
///     co_await (from(lines) | transform(parse) | for_each(print));
///
/// One item after the other, in order, unless `workers` says otherwise; then calls overlap, on one function object. The
/// task completes when the source has ended and every item is done with. What any stage throws ends all the others, and
/// is thrown by the task once they are joined; `.or_else(target)` behind it says where items go for which the function
/// threw, and the rest goes on: see failed_item. Cancelled: all stages stop and are joined; items between them are
/// destroyed.
inline constexpr detail::for_each_function for_each{};

}  // namespace weir
