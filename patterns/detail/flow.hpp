#pragma once

#include <atomic>
#include <concepts>
#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>

#include "../../runtime/async_generator.hpp"
#include "../../runtime/detail/config.hpp"
#include "../../runtime/detail/invoke.hpp"
#include "../../runtime/task.hpp"
#include "../../runtime/task_group.hpp"
#include "../../sync/channel.hpp"
#include "../stage_counters.hpp"
#include "pipeline_run.hpp"
#include "steps.hpp"

// How pipelines are made. A flow is a recipe: a source that is still to be opened, and the synchronous steps behind it,
// fused into one function. A stage that needs tasks or a queue of its own ends the run of fused steps: it makes a new
// flow whose source, when opened, spawns those tasks. The last stage makes a task of it all, which opens the recipe
// inside a group, so that the first failure ends everything and nothing outlives the pipeline.
//
// What an opened source is read with is called a puller: `co_await puller.next()` completes with an optional item,
// empty at the end, as that of an async_generator does.
//
// A stage of one's own needs nothing of all that. It is a function of a generator:
//
//     weir::async_generator<reply> answered(weir::async_generator<request> requests);
//     ... weir::from(incoming) | answered | weir::batch(16) | ...
//
// One that returns a task is an end of one's own: `weir::from(numbers) | sum`. Captures are kept while it runs.

namespace weir::detail {

// ---- flows

template <class Open, class Steps>
class [[nodiscard]] flow {
 public:
  using value_type = typename Steps::output;

  flow(Open open, Steps steps) : open_(std::move(open)), steps_(std::move(steps)) {}
  flow(flow&&) = default;
  flow& operator=(flow&&) = delete;
  ~flow() = default;

  auto open(pipeline_run& run) && {
    auto source = std::move(open_)(run);
    return segment<decltype(source), Steps>{std::move(source), std::move(steps_)};
  }

  template <class Step>
  auto then(Step step) && {
    if constexpr (is_no_steps<Steps>) {
      return flow<Open, Step>(std::move(open_), std::move(step));
    } else {
      return flow<Open, two_steps<Steps, Step>>(std::move(open_),
                                                two_steps<Steps, Step>(std::move(steps_), std::move(step)));
    }
  }

 private:
  Open open_;
  Steps steps_;
};

/// A flow with nothing but a source.
template <class T, class Open>
auto flow_from(Open open) {
  return flow<Open, no_steps<T>>(std::move(open), no_steps<T>());
}

/// Opens what is there already.
template <class Puller>
class ready_source {
 public:
  explicit ready_source(Puller puller) : puller_(std::move(puller)) {}
  Puller operator()(pipeline_run&) && { return std::move(puller_); }

 private:
  Puller puller_;
};

template <class>
inline constexpr bool is_flow = false;
template <class Open, class Steps>
inline constexpr bool is_flow<flow<Open, Steps>> = true;

// ---- stages

/// The base of what may stand behind `|`. A stage has `static auto attach(Self&& stage, Flow upstream)`, which may move
/// from `stage` when it is an rvalue, and is a value: named, copied, used in several pipelines.
class stage_base {};

template <class S>
concept stage = std::derived_from<std::remove_cvref_t<S>, stage_base>;

/// What is taken for a stage of a user's own: a function of a generator.
template <class F>
concept stage_function =
    !stage<F> && !is_flow<std::remove_cvref_t<F>> &&
    (std::is_class_v<std::remove_cvref_t<F>> || std::is_function_v<std::remove_pointer_t<std::remove_cvref_t<F>>>);

template <class F>
class function_stage;

template <stage S>
S&& as_stage(S&& given) noexcept {
  return std::forward<S>(given);
}
template <stage_function F>
function_stage<std::decay_t<F>> as_stage(F&& function) {
  WEIR_DETAIL_REQUIRE_NAMED(F);
  return function_stage<std::decay_t<F>>(std::forward<F>(function));
}

template <stage S, class Flow>
auto attach_stage(S&& next, Flow upstream) {
  return std::remove_cvref_t<S>::attach(std::forward<S>(next), std::move(upstream));
}

/// Two stages that were joined before they had a source.
template <class First, class Second>
class joined_stages : public stage_base {
 public:
  joined_stages(First first, Second second) : first_(std::move(first)), second_(std::move(second)) {}

  template <class Self, class Flow>
  static auto attach(Self&& self, Flow upstream) {
    return Second::attach(std::forward<Self>(self).second_,
                          First::attach(std::forward<Self>(self).first_, std::move(upstream)));
  }

 private:
  First first_;
  Second second_;
};

template <class Open, class Steps, class S>
  requires stage<S> || stage_function<S>
auto operator|(flow<Open, Steps>&& upstream, S&& next) {
  return attach_stage(as_stage(std::forward<S>(next)), std::move(upstream));
}
template <class Open, class Steps, class S>
void operator|(flow<Open, Steps>&, S&&) {
  static_assert(always_false<S>,
                "a pipeline's source is used once: write std::move(source) | ..., or put it together "
                "in one expression; stages without a source may be named and used again");
}
template <class First, class Second>
  requires(stage<First> && (stage<Second> || stage_function<Second>)) || (stage_function<First> && stage<Second>)
auto operator|(First&& first, Second&& second) {
  using joined = joined_stages<std::remove_cvref_t<decltype(as_stage(std::forward<First>(first)))>,
                               std::remove_cvref_t<decltype(as_stage(std::forward<Second>(second)))>>;
  return joined(as_stage(std::forward<First>(first)), as_stage(std::forward<Second>(second)));
}

// ---- what stages are made of

/// An opened flow as a generator.
template <class Puller, class Steps>
async_generator<typename Steps::output> items_of(Puller source, Steps steps) {
  while (auto next = co_await source.next()) {
    auto item = steps(item_of(next));
    if (item) co_yield std::move(*item);
  }
}
template <class Puller, class Steps>
auto as_generator(segment<Puller, Steps>&& items) {
  if constexpr (std::is_same_v<Puller, async_generator<typename Steps::output>> && is_no_steps<Steps>) {
    return std::move(items.source);
  } else {
    return items_of(std::move(items.source), std::move(items.steps));
  }
}

/// A channel that one or more pumps fill.
template <class T>
class pumped_channel {
 public:
  pumped_channel(std::size_t capacity, std::size_t pumps) : items(capacity), pumping_(pumps) {}
  /// A pump has come to its source's end: the last one closes the channel.
  void pump_ended() noexcept {
    if (pumping_.fetch_sub(1, std::memory_order_acq_rel) == 1) items.close();
  }

  channel<T> items;

 private:
  std::atomic<std::size_t> pumping_;
};

/// Moves all items of a source into a channel. Where it fails or is stopped the channel is not closed: nobody may take
/// that for the end.
template <class Puller, class Steps>
task<> pump(Puller source, Steps steps, pumped_channel<typename Steps::output>& into, stage_counters* counters) {
  stage_tally tally(counters);
  while (auto next = co_await source.next()) {
    auto item = steps(item_of(next));
    if (!item) continue;
    tally.count_queued();
    const bool taken = co_await into.items.send(std::move(*item));
    if (!taken) co_return;
  }
  into.pump_ended();
}

/// Where items can be received by several tasks: the source itself if it is a channel, or else one that a task fills.
template <class Puller, class Steps>
channel<typename Steps::output>& into_channel(segment<Puller, Steps>&& items, pipeline_run& run, std::size_t capacity,
                                              stage_counters* counters) {
  using T = typename Steps::output;
  if constexpr (pulls_channel<Puller> && is_no_steps<Steps>) {
    return items.source.source();
  } else {
    auto& made = run.keep<pumped_channel<T>>(capacity, 1);
    run.spawn(pump(std::move(items.source), std::move(items.steps), made, counters));
    return made.items;
  }
}

/// A flow and what consumes it. Their types are forgotten here, so that the group around a pipeline, and the coroutine
/// that opens it, are compiled once for each type of result.
template <class T>
class whole_pipeline {
 public:
  whole_pipeline(const whole_pipeline&) = delete;
  whole_pipeline& operator=(const whole_pipeline&) = delete;
  virtual ~whole_pipeline() = default;
  task<T> open(pipeline_run& run) { return open_(*this, run); }

 protected:
  using opener = task<T> (*)(whole_pipeline& self, pipeline_run& run);
  explicit whole_pipeline(opener how) noexcept : open_(how) {}

 private:
  // No virtual function: g++ would compile its stages as what a header asks for, and not the user's file, and warn of
  // each lambda of a user's coroutine there.
  opener open_;
};

template <class Flow, class Sink>
class pipeline_of final : public whole_pipeline<typename Sink::value_type> {
  using base = whole_pipeline<typename Sink::value_type>;

 public:
  pipeline_of(Flow&& items, Sink&& sink) : base(&open_this), items_(std::move(items)), sink_(std::move(sink)) {}

 private:
  static task<typename Sink::value_type> open_this(base& self, pipeline_run& run) {
    auto& pipeline = static_cast<pipeline_of&>(self);
    return pipeline.sink_.consume(std::move(pipeline.items_).open(run), run);
  }

  Flow items_;
  Sink sink_;
};

template <class T>
task<T> run_whole(std::unique_ptr<whole_pipeline<T>> pipeline) {
  pipeline_run run;
  auto body = [&](task_group& group) -> task<T> {
    run.begin(group);
    auto opened = pipeline->open(run);
    if constexpr (std::is_void_v<T>) {
      co_await std::move(opened);
      group.cancel();
    } else {
      auto&& result = co_await std::move(opened);
      group.cancel();
      co_return std::forward<decltype(result)>(result);
    }
  };
  co_return co_await with_task_group(body);
}

/// Opens a flow inside a group and lets `sink` consume it: what the last stage of a pipeline makes. The sink may end
/// before the stages before it do, when a stage of a user's own has enough: they are stopped then.
template <class Flow, class Sink>
task<typename Sink::value_type> run_pipeline(Flow items, Sink sink) {
  using T = typename Sink::value_type;
  return run_whole<T>(
      std::unique_ptr<whole_pipeline<T>>(new pipeline_of<Flow, Sink>(std::move(items), std::move(sink))));
}

// ---- stages of a user's own

template <class>
inline constexpr bool is_generator = false;
template <class T>
inline constexpr bool is_generator<async_generator<T>> = true;

/// Opens what a function makes of a generator. The function is kept, because a lambda's captures live in it and not in
/// the coroutine.
template <class Flow, class Fn>
class function_source {
 public:
  function_source(Flow upstream, Fn function) : upstream_(std::move(upstream)), function_(std::move(function)) {}
  auto operator()(pipeline_run& run) && {
    auto items = std::move(upstream_).open(run);
    Fn& function = run.keep<Fn>(std::move(function_));
    return detail::invoke(function, as_generator(std::move(items)));
  }

 private:
  Flow upstream_;
  Fn function_;
};

template <class Fn, class Result>
class function_sink {
 public:
  using value_type = Result;
  explicit function_sink(Fn function) : function_(std::move(function)) {}

  template <class Puller, class Steps>
  task<Result> consume(segment<Puller, Steps> items, pipeline_run&) {
    return detail::invoke(function_, as_generator(std::move(items)));
  }

 private:
  Fn function_;
};

template <class Fn>
class function_stage : public stage_base {
 public:
  explicit function_stage(Fn function) : function_(std::move(function)) {}

  template <class Self, class Flow>
  static auto attach(Self&& self, Flow upstream) {
    using items = async_generator<typename Flow::value_type>;
    static_assert(std::invocable<Fn&, items>,
                  "a function behind | takes the items as a whole, as a weir::async_generator by value; for a function "
                  "of one item use transform, filter or for_each");
    if constexpr (std::invocable<Fn&, items>) {
      using made = std::invoke_result_t<Fn&, items>;
      static_assert(
          is_generator<made> || is_task<made>,
          "a function behind | returns a weir::async_generator of what goes on, or, at the end, a weir::task");
      if constexpr (is_generator<made>) {
        return flow_from<std::remove_cvref_t<typename made::value_type>>(
            function_source<Flow, Fn>(std::move(upstream), std::forward<Self>(self).function_));
      } else if constexpr (is_task<made>) {
        return run_pipeline(std::move(upstream),
                            function_sink<Fn, typename made::value_type>(std::forward<Self>(self).function_));
      }
    }
  }

 private:
  Fn function_;
};

}  // namespace weir::detail
