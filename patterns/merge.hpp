#pragma once

#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

#include "../runtime/detail/config.hpp"
#include "../runtime/task.hpp"
#include "detail/flow.hpp"
#include "detail/stage_function.hpp"
#include "stage_counters.hpp"

namespace weir {

struct merge_options {
  /// Items that may wait behind it.
  std::size_t buffer = 64;
  /// Of the items of all sources: those that are blocked wait for room behind it. To be read while the pipeline runs;
  /// must outlive it.
  stage_counters* counters = nullptr;
};
static_assert(detail::trivially_destructible<merge_options>);

namespace detail {

/// pump() for a stage that is counted by itself, and not with the one behind it.
template <class Puller, class Steps>
task<> merge_into(Puller source, Steps steps, pumped_channel<typename Steps::output>& merged,
                  stage_counters* counters) {
  stage_tally tally(counters);
  while (auto next = co_await source.next()) {
    auto item = steps(item_of(next));
    if (!item) continue;
    tally.count_in();
    counted_hand_on hand_on(tally);
    const bool taken = co_await merged.items.send(std::move(*item));
    if (!taken) {
      tally.count_dropped();
      co_return;
    }
    hand_on.done();
  }
  merged.pump_ended();
}

template <class First, class... Rest>
class merge_source {
  using T = typename First::value_type;

 public:
  explicit merge_source(const merge_options& options, First first, Rest... rest)
      : options_(options), flows_(std::move(first), std::move(rest)...) {}

  channel_puller<T> operator()(pipeline_run& run) && {
    auto& merged = run.keep<pumped_channel<T>>(options_.buffer, 1 + sizeof...(Rest));
    std::apply([&](auto&... upstream) { (start(std::move(upstream), run, merged, options_.counters), ...); }, flows_);
    return channel_puller<T>(merged.items);
  }

 private:
  template <class Flow>
  static void start(Flow upstream, pipeline_run& run, pumped_channel<T>& into, stage_counters* counters) {
    auto items = std::move(upstream).open(run);
    run.spawn(merge_into(std::move(items.source), std::move(items.steps), into, counters));
  }

  merge_options options_;
  std::tuple<First, Rest...> flows_;
};

class merge_function {
 public:
  template <class First, class... Rest>
    requires(is_flow<First> && (is_flow<Rest> && ...))
  auto operator()(const merge_options& options, First first, Rest... rest) const {
    static_assert((std::is_same_v<typename First::value_type, typename Rest::value_type> && ...),
                  "merge: all pipelines must have items of the same type");
    return flow_from<typename First::value_type>(
        merge_source<First, Rest...>(options, std::move(first), std::move(rest)...));
  }
  template <class First, class... Rest>
    requires(is_flow<First> && (is_flow<Rest> && ...))
  auto operator()(First first, Rest... rest) const {
    return (*this)(merge_options(), std::move(first), std::move(rest)...);
  }
};

}  // namespace detail

/// One source out of several: `merge(from(a) | ..., from(b))`. Each is read by a task of its own; items come as they
/// are had, those of one source in its order. It ends when all have ended. Up to 64 items wait behind it, unless
/// merge_options, in front of the sources, say otherwise: `merge({.buffer = 8, .counters = &merged}, from(a),
/// from(b))`.
inline constexpr detail::merge_function merge{};

}  // namespace weir
