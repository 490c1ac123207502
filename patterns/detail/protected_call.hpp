#pragma once

#include <concepts>
#include <exception>
#include <type_traits>
#include <utility>

#include "../../runtime/detail/invoke.hpp"
#include "../../runtime/detail/operation.hpp"
#include "../../runtime/task.hpp"

// What the wrappers (retry, circuit_breaker, bulkhead, ...) ask of the function that they call.

namespace weir::detail {

template <class R>
struct call_value {
  using type = std::conditional_t<std::is_lvalue_reference_v<R>, R, std::remove_cvref_t<R>>;
};
template <operation Op>
struct call_value<Op> {
  using type = operation_value_t<Op>;
};
/// What a call of an F comes to: the value of the task or operation that it returns, or what a plain function returns.
template <class F>
using call_value_t = typename call_value<std::invoke_result_t<F&>>::type;

/// A function without arguments that a wrapper can call: one that returns a task, an operation, or a plain value.
template <class F>
concept protectable = std::invocable<std::decay_t<F>&>;

template <class R>
[[noreturn]] R rethrow(std::exception_ptr error) {
  std::rethrow_exception(std::move(error));
}
template <class R>
task<R> failed_call(std::exception_ptr error) {
  co_return rethrow<R>(std::move(error));
}
template <class F>
task<call_value_t<F>> plain_call(F& function) {
  co_return detail::invoke(function);
}

/// The call as a task, which is where everything that it throws comes out. `function` must outlive it.
template <class F>
task<call_value_t<F>> start_call(F& function) {
  if constexpr (operation<std::invoke_result_t<F&>>) {
    try {
      return as_task(detail::invoke(function));
    } catch (...) {
      return failed_call<call_value_t<F>>(std::current_exception());
    }
  } else {
    return plain_call(function);
  }
}

}  // namespace weir::detail
