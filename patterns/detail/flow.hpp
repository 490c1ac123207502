#pragma once

#include <concepts>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "../../runtime/async_generator.hpp"
#include "../../runtime/task.hpp"
#include "../../runtime/task_group.hpp"
#include "../../sync/channel.hpp"
#include "../stage_counters.hpp"

// How pipelines are made. A flow is a recipe: a source that is still to be opened, and the synchronous steps behind it,
// fused into one function. A stage that needs tasks or a queue of its own ends the run of fused steps: it makes a new
// flow whose source, when opened, spawns those tasks. The last stage makes a task of it all, which opens the recipe
// inside a group, so that the first failure ends everything and nothing outlives the pipeline.
//
// What an opened source is read with is called a puller: `co_await puller.next()` completes with an optional item,
// empty at the end, as that of an async_generator does.

namespace weir::detail {

/// A running pipeline: where its stages spawn, and keep what must outlive their tasks.
class pipeline_run {
 public:
  pipeline_run() = default;
  pipeline_run(const pipeline_run&) = delete;
  pipeline_run& operator=(const pipeline_run&) = delete;

  void begin(task_group& group) noexcept { group_ = &group; }
  [[nodiscard]] task_group& group() const noexcept { return *group_; }

  void spawn(task<> work) { static_cast<void>(group_->spawn(std::move(work))); }

  /// An object that lives until all tasks of the pipeline are joined.
  template <class T, class... Args>
  T& keep(Args&&... args) {
    auto made = std::make_unique<kept_object<T>>(std::forward<Args>(args)...);
    T& object = made->object;
    kept_.push_back(std::move(made));
    return object;
  }

 private:
  struct kept {
    kept() = default;
    kept(const kept&) = delete;
    kept& operator=(const kept&) = delete;
    virtual ~kept() = default;
  };
  template <class T>
  struct kept_object final : kept {
    template <class... Args>
    explicit kept_object(Args&&... args) : object(std::forward<Args>(args)...) {}
    T object;
  };

  task_group* group_ = nullptr;
  std::vector<std::unique_ptr<kept>> kept_;
};

// ---- pullers

/// Reads a channel that somebody else keeps. Its next() is selectable, and several may read one channel.
template <class T>
class channel_puller {
 public:
  using value_type = T;
  explicit channel_puller(channel<T>& from) noexcept : from_(&from) {}
  [[nodiscard]] auto next() noexcept { return from_->receive(); }
  [[nodiscard]] channel<T>& source() const noexcept { return *from_; }

 private:
  channel<T>* from_;
};

template <class>
inline constexpr bool pulls_channel = false;
template <class T>
inline constexpr bool pulls_channel<channel_puller<T>> = true;

/// What next() has completed with, ready to be moved on; of a generator of references, what it refers to.
template <class T>
T&& item_of(std::optional<T>& next) noexcept {
  return std::move(*next);
}
template <class T>
T& item_of(T*& next) noexcept {
  return *next;
}

// ---- fused steps: functions from an item to an optional one

/// No step at all.
template <class T>
class no_steps {
 public:
  using output = T;
  template <class U>
  std::optional<T> operator()(U&& item) {
    return std::optional<T>(std::in_place, std::forward<U>(item));
  }
};

template <class>
inline constexpr bool is_no_steps = false;
template <class T>
inline constexpr bool is_no_steps<no_steps<T>> = true;

template <class First, class Second>
class two_steps {
 public:
  using output = typename Second::output;
  two_steps(First first, Second second) : first_(std::move(first)), second_(std::move(second)) {}
  template <class U>
  std::optional<output> operator()(U&& item) {
    auto between = first_(std::forward<U>(item));
    if (!between) return std::nullopt;
    return second_(std::move(*between));
  }

 private:
  First first_;
  Second second_;
};

// ---- flows

/// An opened flow.
template <class Puller, class Steps>
struct segment {
  using value_type = typename Steps::output;
  Puller source;
  Steps steps;
};

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

template <class Open, class Steps, stage S>
auto operator|(flow<Open, Steps>&& upstream, S&& next) {
  return std::remove_cvref_t<S>::attach(std::forward<S>(next), std::move(upstream));
}
template <stage First, stage Second>
auto operator|(First&& first, Second&& second) {
  return joined_stages<std::remove_cvref_t<First>, std::remove_cvref_t<Second>>(std::forward<First>(first),
                                                                                std::forward<Second>(second));
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

/// Moves all items of a source into a channel, then counts down; the last one closes it. Where it fails or is stopped
/// the channel is not closed: nobody may take that for the end.
template <class Puller, class Steps>
task<> pump(Puller source, Steps steps, channel<typename Steps::output>& into, std::atomic<std::size_t>& pumps,
            stage_counters* counters) {
  while (auto next = co_await source.next()) {
    auto item = steps(item_of(next));
    if (!item) continue;
    if (counters) counters->count_queued();
    const bool taken = co_await into.send(std::move(*item));
    if (!taken) co_return;
  }
  if (pumps.fetch_sub(1, std::memory_order_acq_rel) == 1) into.close();
}

/// A channel that one or more pumps fill.
template <class T>
class pumped_channel {
 public:
  pumped_channel(std::size_t capacity, std::size_t pumps) : items(capacity), pumping(pumps) {}
  channel<T> items;
  std::atomic<std::size_t> pumping;
};

/// Where items can be received by several tasks: the source itself if it is a channel, or else one that a task fills.
template <class Puller, class Steps>
channel<typename Steps::output>& into_channel(segment<Puller, Steps>&& items, pipeline_run& run, std::size_t capacity,
                                              stage_counters* counters) {
  using T = typename Steps::output;
  if constexpr (pulls_channel<Puller> && is_no_steps<Steps>) {
    return items.source.source();
  } else {
    auto& made = run.keep<pumped_channel<T>>(capacity, 1);
    run.spawn(pump(std::move(items.source), std::move(items.steps), made.items, made.pumping, counters));
    return made.items;
  }
}

/// Opens a flow inside a group and lets `sink` consume it: what the last stage of a pipeline makes.
template <class Flow, class Sink>
task<typename Sink::value_type> run_pipeline(Flow items, Sink sink) {
  pipeline_run run;
  auto body = [&](task_group& group) -> task<typename Sink::value_type> {
    run.begin(group);
    auto opened = std::move(items).open(run);
    co_return co_await sink.consume(std::move(opened), run);
  };
  co_return co_await with_task_group(body);
}

// ---- functions of stages

template <class Fn, class T>
using stage_return_t = std::invoke_result_t<Fn&, T>;

template <class Fn, class T>
inline constexpr bool is_async_stage = is_task<stage_return_t<Fn, T>>;

template <class R>
struct unwrapped_task {
  using type = R;
};
template <class R>
struct unwrapped_task<task<R>> {
  using type = R;
};
/// What a stage's function, be it plain or a task, makes of a T.
template <class Fn, class T>
using stage_result_t = std::remove_cvref_t<typename unwrapped_task<stage_return_t<Fn, T>>::type>;

/// Counts a call of a stage's function, also one that throws or is stopped.
class counted_call {
 public:
  explicit counted_call(stage_counters* counters) noexcept : counters_(counters) {
    if (!counters_) return;
    counters_->count_in();
    counters_->change_busy(+1);
  }
  counted_call(const counted_call&) = delete;
  counted_call& operator=(const counted_call&) = delete;
  ~counted_call() {
    if (!counters_) return;
    counters_->change_busy(-1);
    if (!returned_ && !is_unwinding()) counters_->count_error();
  }
  void returned() noexcept { returned_ = true; }

 private:
  stage_counters* counters_;
  bool returned_ = false;
};

/// Counts the time that an item waits for room behind a stage, and then the item.
class counted_hand_on {
 public:
  explicit counted_hand_on(stage_counters* counters) noexcept : counters_(counters) {
    if (counters_) counters_->change_blocked(+1);
  }
  counted_hand_on(const counted_hand_on&) = delete;
  counted_hand_on& operator=(const counted_hand_on&) = delete;
  ~counted_hand_on() {
    if (counters_) counters_->change_blocked(-1);
  }
  void done() noexcept {
    if (counters_) counters_->count_out();
  }

 private:
  stage_counters* counters_;
};

}  // namespace weir::detail
