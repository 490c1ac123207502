#pragma once

#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

#include "detail/flow.hpp"

namespace weir {
namespace detail {

template <class First, class... Rest>
class merge_source {
  using T = typename First::value_type;
  static constexpr std::size_t capacity = 64;

 public:
  explicit merge_source(First first, Rest... rest) : flows_(std::move(first), std::move(rest)...) {}

  channel_puller<T> operator()(pipeline_run& run) && {
    auto& merged = run.keep<pumped_channel<T>>(capacity, 1 + sizeof...(Rest));
    std::apply([&](auto&... upstream) { (start(std::move(upstream), run, merged), ...); }, flows_);
    return channel_puller<T>(merged.items);
  }

 private:
  template <class Flow>
  static void start(Flow upstream, pipeline_run& run, pumped_channel<T>& into) {
    auto items = std::move(upstream).open(run);
    run.spawn(pump(std::move(items.source), std::move(items.steps), into.items, into.pumping, nullptr));
  }

  std::tuple<First, Rest...> flows_;
};

class merge_function {
 public:
  template <class First, class... Rest>
    requires(is_flow<First> && (is_flow<Rest> && ...))
  auto operator()(First first, Rest... rest) const {
    static_assert((std::is_same_v<typename First::value_type, typename Rest::value_type> && ...),
                  "merge: all pipelines must have items of the same type");
    return flow_from<typename First::value_type>(merge_source<First, Rest...>(std::move(first), std::move(rest)...));
  }
};

}  // namespace detail

/// One source out of several: `merge(from(a) | ..., from(b))`. Each is read by a task of its own; items come as they
/// are had, those of one source in its order. It ends when all have ended. Up to 64 items wait behind it.
inline constexpr detail::merge_function merge{};

}  // namespace weir
