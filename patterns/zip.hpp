#pragma once

#include <tuple>
#include <utility>

#include "../runtime/async_generator.hpp"
#include "detail/flow.hpp"

namespace weir {
namespace detail {

template <class T>
async_generator<std::tuple<T>> zipped(async_generator<T> items) {
  while (auto item = co_await items.next()) {
    std::tuple<T> one(std::move(*item));
    co_yield std::move(one);
  }
}
template <class T, class... Rest>
async_generator<std::tuple<T, Rest...>> joined(async_generator<T> first, async_generator<std::tuple<Rest...>> rest) {
  while (auto item = co_await first.next()) {
    auto others = co_await rest.next();
    if (!others) break;
    std::tuple<T, Rest...> all = std::tuple_cat(std::tuple<T>(std::move(*item)), std::move(*others));
    co_yield std::move(all);
  }
}
template <class T, class... Rest>
  requires(sizeof...(Rest) > 0)
async_generator<std::tuple<T, Rest...>> zipped(async_generator<T> first, async_generator<Rest>... rest) {
  return joined(std::move(first), zipped(std::move(rest)...));
}

template <class... Flows>
class zip_source {
 public:
  explicit zip_source(Flows... flows) : flows_(std::move(flows)...) {}
  auto operator()(pipeline_run& run) && {
    return std::apply(
        [&](auto&... upstream) {
          return zipped(async_generator<typename Flows::value_type>(as_generator(std::move(upstream).open(run)))...);
        },
        flows_);
  }

 private:
  std::tuple<Flows...> flows_;
};

class zip_function {
 public:
  template <class... Flows>
    requires(sizeof...(Flows) > 1 && (is_flow<Flows> && ...))
  auto operator()(Flows... flows) const {
    return flow_from<std::tuple<typename Flows::value_type...>>(zip_source<Flows...>(std::move(flows)...));
  }
};

}  // namespace detail

/// One source of tuples out of several: `zip(from(names), from(addresses) | transform(parse))` gives the first of each,
/// then the second of each. It ends when one of them does; what had been read of the others for that tuple is
/// destroyed. One task reads them one after the other: those that take long should have workers, which read ahead.
inline constexpr detail::zip_function zip{};

}  // namespace weir
