#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include "../runtime/detail/config.hpp"
#include "../runtime/task.hpp"
#include "detail/branches.hpp"
#include "detail/stage_function.hpp"
#include "stage_counters.hpp"

namespace weir {

struct broadcast_to_options {
  /// Items that may wait before each branch, and, if they have an outcome, behind all of them.
  std::size_t buffer = 64;
  /// Of what goes to the branches; to be read while the pipeline runs; must outlive it.
  stage_counters* counters = nullptr;
};
static_assert(detail::trivially_destructible<broadcast_to_options>);

namespace detail {

/// Sends each item to all branches, to the last one without a copy. Ends when none wants more.
template <class Puller, class Steps>
task<> send_to_all(Puller source, Steps steps, branches<typename Steps::output>& to, stage_counters* counters) {
  stage_tally tally(counters);
  while (auto next = co_await source.next()) {
    auto item = steps(item_of(next));
    if (!item) continue;
    tally.count_in();
    counted_hand_on hand_on(tally);
    std::size_t takers = 0;
    for (std::size_t i = 0; i + 1 < to.size(); ++i) {
      if (to[i].is_closed()) continue;
      const bool taken = co_await to[i].send(std::as_const(*item));
      if (taken) ++takers;
    }
    const bool taken = co_await to[to.size() - 1].send(std::move(*item));
    if (taken) ++takers;
    if (takers == 0) {
      tally.count_dropped();
      break;
    }
    hand_on.done();
  }
  to.close();
}

template <class Flow, class... Stages>
class broadcast_source {
  using T = typename Flow::value_type;
  using U = typename branch_t<T, std::tuple_element_t<0, std::tuple<Stages...>>>::value_type;

 public:
  broadcast_source(Flow upstream, std::tuple<Stages...> stages, const broadcast_to_options& options)
      : upstream_(std::move(upstream)), stages_(std::move(stages)), options_(options) {}

  channel_puller<U> operator()(pipeline_run& run) && {
    auto items = std::move(upstream_).open(run);
    auto& to = run.keep<branches<T>>(sizeof...(Stages), options_.buffer);
    auto& merged = run.keep<pumped_channel<U>>(options_.buffer, sizeof...(Stages));
    std::size_t i = 0;
    const auto open_one = [&](auto& stage) {
      open_branch(run, to[i], attach_branch<T>(std::move(stage), to[i]), merged);
      ++i;
    };
    std::apply([&](auto&... stage) { (open_one(stage), ...); }, stages_);
    run.spawn(send_to_all(std::move(items.source), std::move(items.steps), to, options_.counters));
    return channel_puller<U>(merged.items);
  }

 private:
  Flow upstream_;
  std::tuple<Stages...> stages_;
  broadcast_to_options options_;
};

template <class R>
using value_or_monostate = std::conditional_t<std::is_void_v<R>, std::monostate, R>;

template <class T, class... Ends>
class broadcast_sink {
 public:
  using value_type = std::tuple<value_or_monostate<typename branch_t<T, Ends>::value_type>...>;
  broadcast_sink(std::tuple<Ends...> ends, const broadcast_to_options& options)
      : ends_(std::move(ends)), options_(options) {}

  template <class Puller, class Steps>
  task<value_type> consume(segment<Puller, Steps> items, pipeline_run& run) {
    auto& to = run.keep<branches<T>>(sizeof...(Ends), options_.buffer);
    run.spawn(send_to_all(std::move(items.source), std::move(items.steps), to, options_.counters));
    auto all = read_all(to, std::index_sequence_for<Ends...>());
    co_return co_await std::move(all);
  }

 private:
  template <std::size_t... I>
  auto read_all(branches<T>& to, std::index_sequence<I...>) {
    return when_all(read_branch(to[I], attach_branch<T>(std::move(std::get<I>(ends_)), to[I]))...);
  }

  std::tuple<Ends...> ends_;
  broadcast_to_options options_;
};

template <class... Stages>
class broadcast_stage : public stage_base {
 public:
  broadcast_stage(std::tuple<Stages...> stages, const broadcast_to_options& options)
      : stages_(std::move(stages)), options_(options) {}

  template <class Self, class Flow>
  static auto attach(Self&& self, Flow upstream) {
    using T = typename Flow::value_type;
    static_assert(std::copy_constructible<T>,
                  "broadcast_to: every branch gets a copy: for items that cannot be copied, send a std::shared_ptr");
    constexpr bool all_ends = (is_task<branch_t<T, Stages>> && ...);
    constexpr bool some_ends = (is_task<branch_t<T, Stages>> || ...);
    static_assert(all_ends == some_ends, "broadcast_to takes ends or stages, but not both");
    const broadcast_to_options options = self.options_;
    if constexpr (all_ends) {
      return run_pipeline(std::move(upstream), broadcast_sink<T, Stages...>(std::forward<Self>(self).stages_, options));
    } else if constexpr (!some_ends) {
      using first = typename branch_t<T, std::tuple_element_t<0, std::tuple<Stages...>>>::value_type;
      static_assert((std::same_as<first, typename branch_t<T, Stages>::value_type> && ...),
                    "broadcast_to: what stages make of the items is merged, and must be of the same type");
      return flow_from<first>(
          broadcast_source<Flow, Stages...>(std::move(upstream), std::forward<Self>(self).stages_, options));
    }
  }

 private:
  std::tuple<Stages...> stages_;
  broadcast_to_options options_;
};

class broadcast_to_function {
 public:
  template <class... S>
    requires(sizeof...(S) > 0 && ((stage<S> || stage_function<S>) && ...))
  auto operator()(S&&... branches) const {
    return make(broadcast_to_options(), as_stage(std::forward<S>(branches))...);
  }
  template <class... S>
    requires(sizeof...(S) > 0 && ((stage<S> || stage_function<S>) && ...))
  auto operator()(const broadcast_to_options& options, S&&... branches) const {
    return make(options, as_stage(std::forward<S>(branches))...);
  }

 private:
  template <class... S>
  static auto make(const broadcast_to_options& options, S&&... stages) {
    return broadcast_stage<std::remove_cvref_t<S>...>({std::forward<S>(stages)...}, options);
  }
};

}  // namespace detail

/// A stage that gives every item to each of several sub-pipelines, which have a task and a bounded queue of their own:
///
///     auto [all, total] = co_await (from(trades) | broadcast_to(collect(), transform(price) | reduce(0L, plus)));
///     from(trades) | broadcast_to(transform(average), filter(odd) | transform(alert)) | for_each(print)
///     from(trades) | broadcast_to({.buffer = 1000}, for_each(store), for_each(publish))
///
/// With ends it is an end: it completes when all have, with a tuple of their values (std::monostate for void). With
/// stages, which must make items of one type, what they make is merged as it comes. Each branch gets the items in
/// order, copied but for the last branch. Nothing is dropped: one that is slow holds up the others when its places
/// are taken (for subscribers that may miss something see weir::broadcast). One that ends by itself gets no more, and
/// the others go on; when all have, the source is not read any further. The first failure ends everything.
inline constexpr detail::broadcast_to_function broadcast_to{};

}  // namespace weir
