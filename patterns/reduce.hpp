#pragma once

#include <concepts>
#include <type_traits>
#include <utility>

#include "../runtime/detail/invoke.hpp"
#include "../runtime/task.hpp"
#include "detail/flow.hpp"
#include "detail/stage_function.hpp"

namespace weir {
namespace detail {

template <class State, class Fn>
class reduce_sink {
 public:
  using value_type = State;
  reduce_sink(State first, Fn function) : state_(std::move(first)), function_(std::move(function)) {}

  template <class Puller, class Steps>
  task<State> consume(segment<Puller, Steps> items, pipeline_run&) {
    while (auto next = co_await items.source.next()) {
      auto item = items.steps(item_of(next));
      if (!item) continue;
      if constexpr (is_task<std::invoke_result_t<Fn&, State, typename Steps::output>>) {
        auto made = co_await detail::invoke(function_, std::move(state_), std::move(*item));
        state_ = std::move(made);
      } else {
        state_ = detail::invoke(function_, std::move(state_), std::move(*item));
      }
    }
    co_return std::move(state_);
  }

 private:
  State state_;
  Fn function_;
};

template <class State, class Fn>
class reduce_stage : public stage_base {
 public:
  reduce_stage(State first, Fn function) : first_(std::move(first)), function_(std::move(function)) {}

  template <class Self, class Flow>
  static task<State> attach(Self&& self, Flow upstream) {
    using T = typename Flow::value_type;
    static_assert(std::invocable<Fn&, State, T>,
                  "reduce: the function must take the state so far and an item of this pipeline");
    static_assert(std::is_convertible_v<typename unwrapped_task<std::invoke_result_t<Fn&, State, T>>::type, State>,
                  "reduce: the function must return the next state, or a task of it");
    return run_pipeline(std::move(upstream),
                        reduce_sink<State, Fn>(std::forward<Self>(self).first_, std::forward<Self>(self).function_));
  }

 private:
  State first_;
  Fn function_;
};

class reduce_function {
 public:
  template <std::movable State, class Fn>
  auto operator()(State first, Fn&& function) const {
    WEIR_DETAIL_REQUIRE_NAMED(Fn);
    return reduce_stage<State, std::decay_t<Fn>>(std::move(first), std::forward<Fn>(function));
  }
};

}  // namespace detail

/// The end of a pipeline of which one value is wanted: a task of the last state, `state = function(state, item)` for
/// each item in its order, from `first` on. The function may return a task; what it throws ends the pipeline.
///
///     long total = co_await (from(orders) | transform(price) | reduce(0L, std::plus<>()));
///
/// For work that is worth several workers see map_reduce.
inline constexpr detail::reduce_function reduce{};

}  // namespace weir
