#pragma once

#include <concepts>
#include <type_traits>
#include <utility>

#include "../runtime/detail/invoke.hpp"
#include "../runtime/task.hpp"
#include "detail/stage_function.hpp"

namespace weir {
namespace detail {

template <class Wrapper, class Fn>
class wrapped_function {
 public:
  template <class W, class F>
  wrapped_function(W&& wrapper, F&& function)
      : wrapper_(std::forward<W>(wrapper)), function_(std::forward<F>(function)) {}

  template <class T>
  auto operator()(T item) {
    static_assert(std::invocable<Fn&, const T&>,
                  "through: the function must take a const item of this pipeline, or a copy of it: it may be called "
                  "several times");
    if constexpr (std::invocable<Fn&, const T&>) {
      static_assert(is_async_stage<Fn, const T&>, "through: the function must return a task");
      using made = decltype(std::declval<std::remove_reference_t<Wrapper>&>().run(std::declval<call<T>&>()));
      return run<T, operation_value_t<made>>(std::move(item));
    }
  }

 private:
  /// One more call with the same item.
  template <class T>
  class call {
   public:
    call(Fn& function, const T& item) noexcept : function_(&function), item_(&item) {}
    auto operator()() const { return detail::invoke(*function_, *item_); }

   private:
    Fn* function_;
    const T* item_;
  };

  template <class T, class R>
  task<R> run(T item) {
    call<T> one(function_, item);
    co_return co_await wrapper_.run(one);
  }

  Wrapper wrapper_;
  Fn function_;
};

class through_function {
 public:
  template <class Wrapper, class Fn>
  auto operator()(Wrapper&& wrapper, Fn&& function) const {
    WEIR_DETAIL_REQUIRE_NAMED(Fn);
    return wrapped_function<Wrapper, std::decay_t<Fn>>(std::forward<Wrapper>(wrapper), std::forward<Fn>(function));
  }
};

}  // namespace detail

/// A function of a task whose every call goes through a wrapper: a retry, a circuit breaker, a policy, anything with
/// `wrapper.run(fn)` where `fn` returns a task, and run() one of what is to be made of it:
///
///     transform(through(retries, fetch), {.workers = 8})
///     transform(through(breaker, within(2s, fetch)))
///
/// A wrapper that is given by name is referred to and shared, and must outlive the pipeline; a temporary is taken
/// along. The item is kept until the call has ended, and lent to the function each time it is tried: it takes the item
/// as const, or a copy. Costs a frame for each call.
inline constexpr detail::through_function through{};

}  // namespace weir
