#pragma once

#include <concepts>
#include <type_traits>
#include <utility>

#include "../runtime/detail/invoke.hpp"
#include "transform.hpp"

namespace weir {
namespace detail {

template <class State, class Fn>
class scanning {
 public:
  scanning(State state, Fn function) : state_(std::move(state)), function_(std::move(function)) {}

  template <class T>
    requires(!std::is_reference_v<T> && !std::is_const_v<T>)
  State operator()(T&& item) {
    static_assert(
        std::is_invocable_r_v<State, Fn&, State, T>,
        "scan: the function must take the state so far and an item, and return the next state; it cannot be a "
        "task");
    state_ = detail::invoke(function_, std::move(state_), std::move(item));
    return state_;
  }

 private:
  State state_;
  Fn function_;
};

class scan_function {
 public:
  template <std::copyable State, class Fn>
  auto operator()(State first, Fn&& function) const {
    WEIR_DETAIL_REQUIRE_NAMED(Fn);
    using scan = scanning<State, std::decay_t<Fn>>;
    return transform_stage<scan>(scan(std::move(first), std::forward<Fn>(function)), nullptr);
  }
};

}  // namespace detail

/// A stage that makes of each item the state that it leads to: `state = function(state, item)`, from `first` on.
///
///     scan(0L, std::plus<>())     1, 2, 3, 4  becomes  1, 3, 6, 10
///
/// A copy of the state goes on. Each pipeline that the stage is used in begins with `first`. Fused with the stages
/// around it; what the function throws ends the pipeline.
inline constexpr detail::scan_function scan{};

}  // namespace weir
