#pragma once

#include <concepts>
#include <optional>
#include <type_traits>
#include <utility>

#include "../runtime/detail/invoke.hpp"
#include "detail/concurrent_transform.hpp"
#include "detail/flow.hpp"
#include "detail/generator_stage.hpp"
#include "detail/stage_function.hpp"
#include "or_else.hpp"
#include "stage_counters.hpp"

namespace weir {
namespace detail {

/// A plain function as a fused step.
template <class Fn, class T>
class transform_step {
 public:
  using output = stage_result_t<Fn, T>;
  transform_step(Fn function, stage_counters* counters) : function_(std::move(function)), tally_(counters) {}
  std::optional<output> operator()(T&& item) {
    counted_call call(tally_);
    std::optional<output> result = make_of(function_, std::move(item));
    if (!result) return result;
    call.returned();
    tally_.count_out();
    return result;
  }
  /// What a generator of references refers to is not the function's to take.
  std::optional<output> operator()(const T& item)
    requires std::copy_constructible<T>
  {
    T copy(item);
    return operator()(std::move(copy));
  }

 private:
  Fn function_;
  stage_tally tally_;
};

/// A task for each item, one after the other, without tasks of its own.
template <class Fn>
class transform_in_line {
 public:
  template <class T>
  using output = stage_result_t<Fn, T>;
  transform_in_line(Fn function, stage_counters* counters) : function_(std::move(function)), counters_(counters) {}

  template <class Puller, class Steps>
  auto generate(Puller source, Steps steps) && {
    return transformed(std::move(source), std::move(steps), std::move(function_), counters_);
  }

 private:
  template <class Puller, class Steps>
  static async_generator<output<typename Steps::output>> transformed(Puller source, Steps steps, Fn function,
                                                                     stage_counters* counters) {
    stage_tally tally(counters);
    while (auto next = co_await source.next()) {
      auto item = steps(item_of(next));
      if (!item) continue;
      std::optional<output<typename Steps::output>> result;
      {
        counted_call call(tally);
        auto made = co_await detail::invoke(function, std::move(*item));
        put_made<Fn>(result, std::move(made));
        if (result) call.returned();
      }
      if (!result) continue;
      tally.count_out();
      co_yield std::move(*result);
    }
  }

  Fn function_;
  stage_counters* counters_;
};

/// What both kinds of stages ask of a function.
template <class Fn, class T>
constexpr bool check_transform() noexcept {
  static_assert(std::invocable<Fn&, T>, "transform: the function cannot be called with the items of this pipeline");
  static_assert(!returns_lost_operation<Fn, T>,
                "transform: the function returns an operation that nobody would await: make it a coroutine that does");
  static_assert(!std::is_void_v<typename unwrapped_task<stage_return_t<Fn, T>>::type>,
                "transform: the function returns nothing to go on with: use for_each");
  return true;
}

template <class Fn>
class transform_stage : public stage_base {
 public:
  transform_stage(Fn function, stage_counters* counters) : function_(std::move(function)), counters_(counters) {}

  /// See or_else.hpp.
  template <class Target>
  auto or_else(Target&& target) && {
    WEIR_DETAIL_REQUIRE_NAMED(Target);
    auto guard = guard_with(std::move(function_), std::forward<Target>(target));
    return transform_stage<decltype(guard)>(std::move(guard), counters_);
  }

  template <class Self, class Flow>
  static auto attach(Self&& self, Flow upstream) {
    using T = typename Flow::value_type;
    static_assert(check_transform<Fn, T>());
    stage_counters* const counters = self.counters_;
    if constexpr (is_async_stage<Fn, T>) {
      using in_line = transform_in_line<Fn>;
      return flow_from<stage_result_t<Fn, T>>(
          generated_source<Flow, in_line>(std::move(upstream), in_line(std::forward<Self>(self).function_, counters)));
    } else {
      return std::move(upstream).then(transform_step<Fn, T>(std::forward<Self>(self).function_, counters));
    }
  }

 private:
  Fn function_;
  stage_counters* counters_;
};

template <class Fn>
class concurrent_transform_stage : public stage_base {
 public:
  concurrent_transform_stage(Fn function, const transform_options& options)
      : function_(std::move(function)), options_(options) {}

  /// See or_else.hpp.
  template <class Target>
  auto or_else(Target&& target) && {
    WEIR_DETAIL_REQUIRE_NAMED(Target);
    auto guard = guard_with(std::move(function_), std::forward<Target>(target));
    return concurrent_transform_stage<decltype(guard)>(std::move(guard), options_);
  }

  template <class Self, class Flow>
  static auto attach(Self&& self, Flow upstream) {
    using T = typename Flow::value_type;
    static_assert(check_transform<Fn, T>());
    const transform_options options = self.options_;
    return flow_from<stage_result_t<Fn, T>>(
        concurrent_transform<Flow, Fn>(std::move(upstream), std::forward<Self>(self).function_, options));
  }

 private:
  Fn function_;
  transform_options options_;
};

class transform_function {
 public:
  template <class Fn>
  auto operator()(Fn&& function) const {
    WEIR_DETAIL_REQUIRE_NAMED(Fn);
    return transform_stage<std::decay_t<Fn>>(std::forward<Fn>(function), nullptr);
  }
  template <class Fn>
  auto operator()(Fn&& function, stage_counters& counters) const {
    WEIR_DETAIL_REQUIRE_NAMED(Fn);
    return transform_stage<std::decay_t<Fn>>(std::forward<Fn>(function), &counters);
  }
  template <class Fn>
  auto operator()(Fn&& function, const transform_options& options) const {
    WEIR_DETAIL_REQUIRE_NAMED(Fn);
    return concurrent_transform_stage<std::decay_t<Fn>>(std::forward<Fn>(function), options);
  }
};

}  // namespace detail

/// A stage that makes something of each item:
///
///     transform(function)                        in the task of the stage before it, without a queue in between
///     transform(function, counters)              the same, counting
///     transform(function, {.workers = 4, ...})   on tasks of its own, behind a bounded queue: see transform_options
///
/// `function` takes an item (it is moved in) and returns the next one, or a task of it. Without options the order is
/// kept. With several workers it is kept only if `ordered` says so; then a slow item holds up those behind it, of which
/// no more than `workers + buffer` are under way. One function object serves all workers, which may call it at the same
/// time.
///
/// What it throws ends the pipeline, unless `.or_else(target)` behind the stage says where failed items go: see
/// failed_item. Back pressure: at most `buffer` items wait before the stage, one is in the hands
/// of each worker and one of the task that fills the queue, and at most `buffer` results wait behind it. A worker that
/// finds no room there waits, and so does the source in the end. A stage behind it that has workers too takes from that
/// same room and has no queue of its own.
inline constexpr detail::transform_function transform{};

}  // namespace weir
