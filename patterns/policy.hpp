#pragma once

#include <concepts>
#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

#include "../runtime/task.hpp"
#include "detail/protected_call.hpp"

namespace weir {

/// Several wrappers around each call, the outermost first, as they are written:
///
///     weir::circuit_breaker breaker("orders");
///     weir::bulkhead places({.concurrent = 10});
///     weir::policy calls(weir::retry_policy({.attempts = 3}), breaker, places, weir::timeout(200ms));
///     auto answer = co_await calls.run(fetch);
///
/// Here each attempt goes through the breaker, and has 200 ms of its own once it has a place. A wrapper is anything
/// that has `task<R> run(F)`, where F is a function without arguments that returns a task<R>: those of weir, a policy,
/// or one's own. Those that are given by name are referred to and must outlive the policy; temporaries are moved into
/// it. Breakers, bulkheads and shedders have a state that is shared, cannot be moved, and so have names.
template <class... Wrappers>
class policy {
 public:
  explicit policy(Wrappers&&... wrappers)
    requires(sizeof...(Wrappers) > 0)
      : wrappers_(std::forward<Wrappers>(wrappers)...) {}

  /// Completes as the outermost wrapper does, which decides whether the next one runs, and so on, down to `function()`.
  /// A stop stops whichever is at work. A frame, and those of the wrappers. The policy must outlive it.
  template <detail::protectable F>
  task<detail::call_value_t<std::decay_t<F>>> run(F&& function) WEIR_DETAIL_LIFETIMEBOUND {
    WEIR_DETAIL_REQUIRE_NAMED(F);
    return run_kept<std::decay_t<F>>(std::forward<F>(function));
  }

 private:
  template <class F>
  task<detail::call_value_t<F>> run_kept(F function) {
    auto all = through<0>(function);
    co_return co_await std::move(all);
  }

  template <std::size_t I, class F>
  task<detail::call_value_t<F>> through(F& function) {
    if constexpr (I == sizeof...(Wrappers)) {
      return detail::start_call(function);
    } else {
      auto& wrapper = std::get<I>(wrappers_);
      auto inner = [this, &function] { return this->template through<I + 1>(function); };
      static_assert(
          requires { wrapper.run(inner); },
          "policy: a wrapper has task<R> run(F function), where function() returns a task<R>");
      return wrapper.run(inner);
    }
  }

  std::tuple<Wrappers...> wrappers_;
};

template <class... Wrappers>
policy(Wrappers&&...) -> policy<Wrappers...>;

}  // namespace weir
