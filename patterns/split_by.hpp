#pragma once

#include <concepts>
#include <cstddef>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

#include "../runtime/detail/config.hpp"
#include "../runtime/detail/invoke.hpp"
#include "../runtime/task.hpp"
#include "detail/branches.hpp"
#include "detail/stage_function.hpp"
#include "stage_counters.hpp"

namespace weir {

struct split_options {
  /// At least one.
  unsigned partitions = 4;
  /// Items that may wait before each of them, and, if they have an outcome, behind all of them.
  std::size_t buffer = 64;
  /// Of what goes into the partitions; to be read while the pipeline runs; must outlive it.
  stage_counters* counters = nullptr;
};
static_assert(detail::trivially_destructible<split_options>);

namespace detail {

/// Moves each item to the partition of its key.
template <class Puller, class Steps, class Key>
task<> partition(Puller source, Steps steps, Key key, branches<typename Steps::output>& parts,
                 stage_counters* counters) {
  using T = typename Steps::output;
  using key_type = std::remove_cvref_t<std::invoke_result_t<Key&, const T&>>;
  stage_tally tally(counters);
  while (auto next = co_await source.next()) {
    auto item = steps(item_of(next));
    if (!item) continue;
    std::size_t which = 0;
    {
      counted_call call(tally);
      which = std::hash<key_type>()(detail::invoke(key, std::as_const(*item))) % parts.size();
      call.returned();
    }
    counted_hand_on hand_on(tally);
    const bool taken = co_await parts[which].send(std::move(*item));
    taken ? hand_on.done() : tally.count_dropped();
  }
  parts.close();
}

template <class Flow, class Key, class Stage>
class split_source {
  using T = typename Flow::value_type;
  using U = typename branch_t<T, Stage>::value_type;

 public:
  split_source(Flow upstream, Key key, Stage stage, const split_options& options)
      : upstream_(std::move(upstream)), key_(std::move(key)), stage_(std::move(stage)), options_(options) {}

  channel_puller<U> operator()(pipeline_run& run) && {
    auto items = std::move(upstream_).open(run);
    auto& parts = run.keep<branches<T>>(options_.partitions, options_.buffer);
    auto& merged = run.keep<pumped_channel<U>>(options_.buffer, options_.partitions);
    for (std::size_t i = 0; i < parts.size(); ++i) {
      open_branch(run, parts[i], attach_branch<T>(std::as_const(stage_), parts[i]), merged);
    }
    run.spawn(partition(std::move(items.source), std::move(items.steps), std::move(key_), parts, options_.counters));
    return channel_puller<U>(merged.items);
  }

 private:
  Flow upstream_;
  Key key_;
  Stage stage_;
  split_options options_;
};

template <class T, class Key, class Stage>
class split_sink {
  using R = typename branch_t<T, Stage>::value_type;

 public:
  using value_type =
      std::conditional_t<std::is_void_v<R>, void, std::vector<std::conditional_t<std::is_void_v<R>, int, R>>>;
  split_sink(Key key, Stage stage, const split_options& options)
      : key_(std::move(key)), stage_(std::move(stage)), options_(options) {}

  template <class Puller, class Steps>
  task<value_type> consume(segment<Puller, Steps> items, pipeline_run& run) {
    auto& parts = run.keep<branches<T>>(options_.partitions, options_.buffer);
    std::vector<task<R>> ends;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      ends.push_back(read_branch(parts[i], attach_branch<T>(std::as_const(stage_), parts[i])));
    }
    run.spawn(partition(std::move(items.source), std::move(items.steps), std::move(key_), parts, options_.counters));
    co_return co_await when_all(std::move(ends));
  }

 private:
  Key key_;
  Stage stage_;
  split_options options_;
};

template <class Key, class Stage>
class split_stage : public stage_base {
 public:
  split_stage(Key key, Stage stage, const split_options& options)
      : key_(std::move(key)), stage_(std::move(stage)), options_(options) {
    if (options.partitions == 0) throw std::invalid_argument("weir::split_by: there is at least one partition");
  }

  template <class Self, class Flow>
  static auto attach(Self&& self, Flow upstream) {
    using T = typename Flow::value_type;
    static_assert(std::invocable<Key&, const T&>,
                  "split_by: the key function cannot be called with a const item of this pipeline");
    const split_options options = self.options_;
    if constexpr (is_task<branch_t<T, const Stage>>) {
      return run_pipeline(std::move(upstream), split_sink<T, Key, Stage>(std::forward<Self>(self).key_,
                                                                         std::forward<Self>(self).stage_, options));
    } else {
      return flow_from<typename branch_t<T, const Stage>::value_type>(split_source<Flow, Key, Stage>(
          std::move(upstream), std::forward<Self>(self).key_, std::forward<Self>(self).stage_, options));
    }
  }

 private:
  Key key_;
  Stage stage_;
  split_options options_;
};

class split_by_function {
 public:
  template <class Key, class S>
    requires(stage<S> || stage_function<S>)
  auto operator()(Key&& key, S&& each, const split_options& options = {}) const {
    WEIR_DETAIL_REQUIRE_NAMED(Key);
    auto kept = as_stage(std::forward<S>(each));
    return split_stage<std::decay_t<Key>, decltype(kept)>(std::forward<Key>(key), std::move(kept), options);
  }
};

}  // namespace detail

/// A stage that deals items out to partitions by their key, and gives each partition a copy of a stage, or of several
/// joined ones, with a task and a bounded queue of its own:
///
///     from(trades) | split_by(symbol, transform(enrich), {.partitions = 8}) | for_each(publish)
///     from(trades) | split_by(symbol, transform(enrich) | for_each(store))        // an end of ends
///
/// `symbol(const item&)` has a std::hash. Items of one key go to one partition and stay in order, also in what comes
/// behind, as long as the stages inside keep the order; those of different keys overlap. What the partitions make goes
/// on as it comes; if `each` is an end, so is this one: it completes when all have, with a vector of their values, or
/// nothing. A key with much to do holds up the others once its queue is full. Items of a partition that has ended by
/// itself, by a take, are destroyed and counted as dropped. The first failure ends everything. Throws
/// std::invalid_argument for no partition.
inline constexpr detail::split_by_function split_by{};

}  // namespace weir
