#pragma once

#include <concepts>
#include <optional>
#include <type_traits>
#include <utility>

#include "../runtime/detail/invoke.hpp"
#include "detail/flow.hpp"
#include "detail/stage_function.hpp"
#include "stage_counters.hpp"

namespace weir {
namespace detail {

template <class Predicate, class T>
class filter_step {
 public:
  using output = T;
  filter_step(Predicate wanted, stage_counters* counters) : wanted_(std::move(wanted)), tally_(counters) {}

  template <class U>
  std::optional<T> operator()(U&& item) {
    counted_call call(tally_);
    const bool passes = detail::invoke(wanted_, std::as_const(item));
    call.returned();
    passes ? tally_.count_out() : tally_.count_dropped();
    return passes ? std::optional<T>(std::in_place, std::forward<U>(item)) : std::nullopt;
  }

 private:
  Predicate wanted_;
  stage_tally tally_;
};

template <class Predicate>
class filter_stage : public stage_base {
 public:
  filter_stage(Predicate wanted, stage_counters* counters) : wanted_(std::move(wanted)), counters_(counters) {}

  template <class Self, class Flow>
  static auto attach(Self&& self, Flow upstream) {
    using T = typename Flow::value_type;
    static_assert(
        std::predicate<Predicate&, const T&>,
        "filter: the predicate cannot be called with a const item of this pipeline, or does not return a bool");
    stage_counters* const counters = self.counters_;
    return std::move(upstream).then(filter_step<Predicate, T>(std::forward<Self>(self).wanted_, counters));
  }

 private:
  Predicate wanted_;
  stage_counters* counters_;
};

class filter_function {
 public:
  template <class Predicate>
  auto operator()(Predicate&& wanted) const {
    WEIR_DETAIL_REQUIRE_NAMED(Predicate);
    return filter_stage<std::decay_t<Predicate>>(std::forward<Predicate>(wanted), nullptr);
  }
  template <class Predicate>
  auto operator()(Predicate&& wanted, stage_counters& counters) const {
    WEIR_DETAIL_REQUIRE_NAMED(Predicate);
    return filter_stage<std::decay_t<Predicate>>(std::forward<Predicate>(wanted), &counters);
  }
};

}  // namespace detail

/// A stage that lets through the items for which `predicate(const item&)` is true and destroys the others. It runs in
/// the task of the stage before it, without a queue in between. What the predicate throws ends the pipeline.
///
///     filter(predicate)    filter(predicate, counters)
inline constexpr detail::filter_function filter{};

}  // namespace weir
