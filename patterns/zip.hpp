#pragma once

#include <tuple>
#include <utility>

#include "../runtime/async_generator.hpp"
#include "../runtime/detail/config.hpp"
#include "detail/flow.hpp"
#include "stage_counters.hpp"

namespace weir {

struct zip_options {
  /// What came in is what the first source gave; of that is dropped what found no others any more. To be read while the
  /// pipeline runs; must outlive it.
  stage_counters* counters = nullptr;
};
static_assert(detail::trivially_destructible<zip_options>);

namespace detail {

template <class T>
async_generator<std::tuple<T>> zipped(async_generator<T> items) {
  while (auto item = co_await items.next()) {
    std::tuple<T> one(std::move(*item));
    co_yield std::move(one);
  }
}
template <class T, class... Rest>
async_generator<std::tuple<T, Rest...>> joined(async_generator<T> first, async_generator<std::tuple<Rest...>> rest,
                                               stage_counters* counters) {
  stage_tally tally(counters);
  while (auto item = co_await first.next()) {
    tally.count_in();
    auto others = co_await rest.next();
    if (!others) {
      tally.count_dropped();
      break;
    }
    std::tuple<T, Rest...> all = std::tuple_cat(std::tuple<T>(std::move(*item)), std::move(*others));
    tally.count_out();
    co_yield std::move(all);
  }
}
template <class T, class... Rest>
  requires(sizeof...(Rest) > 0)
async_generator<std::tuple<T, Rest...>> zipped(async_generator<T> first, async_generator<Rest>... rest) {
  return joined(std::move(first), zipped(std::move(rest)...), nullptr);
}

template <class... Flows>
class zip_source {
 public:
  explicit zip_source(const zip_options& options, Flows... flows) : options_(options), flows_(std::move(flows)...) {}
  auto operator()(pipeline_run& run) && {
    return std::apply(
        [&](auto& first, auto&... rest) {
          return joined(opened(first, run), zipped(opened(rest, run)...), options_.counters);
        },
        flows_);
  }

 private:
  template <class Flow>
  static async_generator<typename Flow::value_type> opened(Flow& upstream, pipeline_run& run) {
    return as_generator(std::move(upstream).open(run));
  }

  zip_options options_;
  std::tuple<Flows...> flows_;
};

class zip_function {
 public:
  template <class... Flows>
    requires(sizeof...(Flows) > 1 && (is_flow<Flows> && ...))
  auto operator()(const zip_options& options, Flows... flows) const {
    return flow_from<std::tuple<typename Flows::value_type...>>(zip_source<Flows...>(options, std::move(flows)...));
  }
  template <class... Flows>
    requires(sizeof...(Flows) > 1 && (is_flow<Flows> && ...))
  auto operator()(Flows... flows) const {
    return (*this)(zip_options(), std::move(flows)...);
  }
};

}  // namespace detail

/// One source of tuples out of several: `zip(from(names), from(addresses) | transform(parse))` gives the first of each,
/// then the second of each. It ends when one of them does; what had been read of the others for that tuple is
/// destroyed. One task reads them one after the other: those that take long should have workers, which read ahead.
/// Counters are for zip_options, in front of the sources: `zip({.counters = &zipped}, from(names), from(addresses))`.
inline constexpr detail::zip_function zip{};

}  // namespace weir
