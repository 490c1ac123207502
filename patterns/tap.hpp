#pragma once

#include <concepts>
#include <type_traits>
#include <utility>

#include "../runtime/detail/invoke.hpp"
#include "../runtime/task.hpp"
#include "transform.hpp"

namespace weir {
namespace detail {

template <class Fn>
class tapping {
 public:
  explicit tapping(Fn look) : look_(std::move(look)) {}

  template <class T>
    requires(!std::is_reference_v<T> && !std::is_const_v<T>)
  auto operator()(T&& item) {
    static_assert(std::invocable<Fn&, const T&>,
                  "tap: the function cannot be called with a const item of this pipeline");
    static_assert(!returns_lost_operation<Fn, const T&>,
                  "tap: the function returns an operation that nobody would await: make it a coroutine that does");
    if constexpr (is_async_stage<Fn, const T&>) {
      return look_and_wait<T>(std::move(item));
    } else {
      detail::invoke(look_, std::as_const(item));
      return T(std::move(item));
    }
  }

 private:
  template <class T>
  task<T> look_and_wait(T item) {
    co_await detail::invoke(look_, std::as_const(item));
    co_return std::move(item);
  }

  Fn look_;
};

class tap_function {
 public:
  template <class Fn>
  auto operator()(Fn&& look) const {
    WEIR_DETAIL_REQUIRE_NAMED(Fn);
    return transform_stage<tapping<std::decay_t<Fn>>>(tapping<std::decay_t<Fn>>(std::forward<Fn>(look)), nullptr);
  }
};

}  // namespace detail

/// A stage that shows each item to `function(const item&)` and lets it go on: `tap(print)`. The function may return a
/// task, for which the item waits. A plain one is fused with the stages around it. What it throws ends the pipeline.
inline constexpr detail::tap_function tap{};

}  // namespace weir
