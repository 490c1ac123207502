#pragma once

#include <utility>
#include <vector>

#include "detail/flow.hpp"

namespace weir {
namespace detail {

template <class T>
class collect_sink {
 public:
  using value_type = std::vector<T>;

  template <class Puller, class Steps>
  task<std::vector<T>> consume(segment<Puller, Steps> items, pipeline_run&) {
    std::vector<T> all;
    while (auto next = co_await items.source.next()) {
      auto item = items.steps(item_of(next));
      if (item) all.push_back(std::move(*item));
    }
    co_return std::move(all);
  }
};

class collect_stage : public stage_base {
 public:
  template <class Self, class Flow>
  static auto attach(Self&&, Flow upstream) {
    return run_pipeline(std::move(upstream), collect_sink<typename Flow::value_type>());
  }
};

class collect_function {
 public:
  auto operator()() const noexcept { return collect_stage(); }
};

}  // namespace detail

/// The end of a pipeline that is wanted as a whole: a task of a std::vector of all items, in the order in which they
/// came. Nothing bounds its memory but the source. For the rest see for_each.
///
///     std::vector<entry> all = co_await (from(lines) | transform(parse) | collect());
inline constexpr detail::collect_function collect{};

}  // namespace weir
