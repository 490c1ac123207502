#pragma once

#include <utility>

#include "flow.hpp"

namespace weir::detail {

/// Opens a flow, and a generator that reads it.
template <class Flow, class Make>
class generated_source {
 public:
  generated_source(Flow upstream, Make make) : upstream_(std::move(upstream)), make_(std::move(make)) {}
  auto operator()(pipeline_run& run) && {
    auto items = std::move(upstream_).open(run);
    return std::move(make_).generate(std::move(items.source), std::move(items.steps));
  }

 private:
  Flow upstream_;
  Make make_;
};

/// A stage without tasks of its own that may wait, end early, or make several items of one. `Make` is a value with
///
///     template <class T> using output = ...;   // the items that it makes of items T
///     auto generate(source, steps) &&;         // the generator of these, which takes along what it needs: the value
///     is
///                                              // gone while it runs
template <class Make>
class generator_stage : public stage_base {
 public:
  explicit generator_stage(Make make) : make_(std::move(make)) {}

  template <class Self, class Flow>
  static auto attach(Self&& self, Flow upstream) {
    using U = typename Make::template output<typename Flow::value_type>;
    return flow_from<U>(generated_source<Flow, Make>(std::move(upstream), std::forward<Self>(self).make_));
  }

 private:
  Make make_;
};

}  // namespace weir::detail
