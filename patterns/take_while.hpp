#pragma once

#include <concepts>
#include <type_traits>
#include <utility>

#include "../runtime/async_generator.hpp"
#include "../runtime/detail/invoke.hpp"
#include "detail/generator_stage.hpp"

namespace weir {
namespace detail {

template <class Predicate>
class taking_while {
 public:
  template <class T>
  using output = T;
  explicit taking_while(Predicate holds) : holds_(std::move(holds)) {}

  template <class Puller, class Steps>
  auto generate(Puller source, Steps steps) && {
    static_assert(
        std::predicate<Predicate&, const typename Steps::output&>,
        "take_while: the predicate cannot be called with a const item of this pipeline, or does not return a bool");
    return taken(std::move(source), std::move(steps), std::move(holds_));
  }

 private:
  template <class Puller, class Steps>
  static async_generator<typename Steps::output> taken(Puller source, Steps steps, Predicate holds) {
    while (auto next = co_await source.next()) {
      auto item = steps(item_of(next));
      if (!item) continue;
      if (!detail::invoke(holds, std::as_const(*item))) break;
      co_yield std::move(*item);
    }
  }

  Predicate holds_;
};

class take_while_function {
 public:
  template <class Predicate>
  auto operator()(Predicate&& holds) const {
    WEIR_DETAIL_REQUIRE_NAMED(Predicate);
    using make = taking_while<std::decay_t<Predicate>>;
    return generator_stage<make>(make(std::forward<Predicate>(holds)));
  }
};

}  // namespace detail

/// A stage that lets items through until `predicate(const item&)` is false; that item is destroyed, and the pipeline
/// ends in front of it: `take_while(predicate)`. What the predicate throws ends the pipeline as a failure.
inline constexpr detail::take_while_function take_while{};

}  // namespace weir
