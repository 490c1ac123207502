#pragma once

#include <concepts>
#include <type_traits>
#include <utility>

#include "../runtime/detail/invoke.hpp"
#include "../runtime/detail/light_std.hpp"
#include "../runtime/task.hpp"
#include "../runtime/with_timeout.hpp"
#include "detail/stage_function.hpp"

namespace weir {
namespace detail {

template <class Fn>
class timed_function {
 public:
  timed_function(duration limit, Fn function) : limit_(limit), function_(std::move(function)) {}

  template <class T>
  auto operator()(T item) {
    static_assert(std::invocable<Fn&, T>, "within: the function cannot be called with the items of this pipeline");
    if constexpr (std::invocable<Fn&, T>) {
      static_assert(operation<std::invoke_result_t<Fn&, T>>,
                    "within: the function must return a task; a plain one cannot be stopped (see offload_abandonable)");
      return run<T, operation_value_t<std::invoke_result_t<Fn&, T>>>(std::move(item));
    }
  }

 private:
  template <class T, class R>
  task<R> run(T item) {
    auto timed = with_timeout(limit_, detail::invoke(function_, std::move(item)));
    co_return co_await std::move(timed);
  }

  duration limit_;
  Fn function_;
};

class within_function {
 public:
  template <class Rep, class Period, class Fn>
  auto operator()(std::chrono::duration<Rep, Period> limit, Fn&& function) const {
    WEIR_DETAIL_REQUIRE_NAMED(Fn);
    return timed_function<std::decay_t<Fn>>(to_duration(limit), std::forward<Fn>(function));
  }
};

}  // namespace detail

/// A function of a task with a limit for each call, for stages whose items must not take longer:
///
///     transform(within(2s, fetch), {.workers = 8})
///
/// A call that takes longer is stopped and fails with timed_out, which ends the pipeline unless or_else takes it. With
/// workers several of its calls may run at once. Costs a frame for each.
inline constexpr detail::within_function within{};

}  // namespace weir
