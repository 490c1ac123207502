#pragma once

#include <cstddef>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>

#include "../failed_jobs.hpp"
#include "../worker_state.hpp"
#include "job_function.hpp"

// What a pool is made of beside its options: the function, and what may stand behind the options in the constructor.

namespace weir::detail {

struct no_part {};

template <class Function, class State, class Failed, class... Middleware>
struct pool_parts {
  Function function;
  State state;
  Failed failed;
  std::tuple<Middleware*...> middleware;

  static constexpr bool has_state = is_worker_state<State>;
  static constexpr bool has_failed = is_failed_jobs<Failed>;
  static constexpr std::size_t layers = sizeof...(Middleware);
};

template <class T>
inline constexpr bool is_middleware =
    !is_worker_state<std::remove_cvref_t<T>> && !is_failed_jobs<std::remove_cvref_t<T>>;

inline no_part state_part() { return {}; }
template <class Extra, class... More>
auto state_part(Extra&& extra, More&&... more) {
  if constexpr (is_worker_state<std::remove_cvref_t<Extra>>) {
    return std::remove_cvref_t<Extra>(std::forward<Extra>(extra));
  } else {
    return state_part(std::forward<More>(more)...);
  }
}

inline no_part failed_part() { return {}; }
template <class Extra, class... More>
auto failed_part(Extra&& extra, More&&... more) {
  if constexpr (is_failed_jobs<std::remove_cvref_t<Extra>>) {
    return std::remove_cvref_t<Extra>(std::forward<Extra>(extra));
  } else {
    return failed_part(std::forward<More>(more)...);
  }
}

template <class Extra>
auto middleware_part(Extra& extra) {
  if constexpr (is_middleware<Extra>) {
    return std::tuple<Extra*>(std::addressof(extra));
  } else {
    return std::tuple<>();
  }
}

template <class Function, class State, class Failed, class... Middleware>
auto join_parts(Function function, State state, Failed failed, std::tuple<Middleware*...> middleware) {
  return pool_parts<Function, State, Failed, Middleware...>{std::move(function), std::move(state), std::move(failed),
                                                            middleware};
}

template <class Function, class... Extras>
auto make_parts(Function function, Extras&&... extras) {
  static_assert(((!is_middleware<Extras> || std::is_lvalue_reference_v<Extras>) && ...),
                "worker_pool: middleware is shared, and kept by reference: name it, and let it outlive the pool");
  return join_parts(std::move(function), state_part(std::forward<Extras>(extras)...),
                    failed_part(std::forward<Extras>(extras)...), std::tuple_cat(middleware_part(extras)...));
}

// ---- how the function is called

template <class State>
struct opened_by {
  using type = no_part;
};
template <class Open, class Close>
struct opened_by<worker_state<Open, Close>> : unwrapped_task<std::invoke_result_t<Open&>> {};

template <class Function, class Opened, class... Us>
struct call_in_pool : std::invoke_result<Function&, Opened&, Us...> {
  static constexpr bool possible = std::is_invocable_v<Function&, Opened&, Us...>;
};
template <class Function, class... Us>
struct call_in_pool<Function, no_part, Us...> : std::invoke_result<Function&, Us...> {
  static constexpr bool possible = std::is_invocable_v<Function&, Us...>;
};

/// How the parts of a pool are called with the arguments of its jobs.
template <class Parts, class... Args>
struct job_call {
  using function = decltype(Parts::function);
  using opened = typename opened_by<decltype(Parts::state)>::type;
  static constexpr bool of_closures = std::is_same_v<function, call_job_function>;

  using taking = call_in_pool<function, opened, Args...>;
  using borrowing = call_in_pool<function, opened, Args&...>;
  static_assert(of_closures || taking::possible || borrowing::possible,
                "worker_pool: the function cannot be called with the arguments of the pool's jobs (and, with "
                "worker_state, a reference to the worker's state before them)");
  static_assert(of_closures || !Parts::has_failed || borrowing::possible,
                "worker_pool: failed_jobs wants what the job was given, so the function must not take it away: let "
                "it take references, or something that can be copied");

  /// The function gets the arguments as they lie in the record: they are wanted once more after the call, or it takes
  /// references that may change them.
  static constexpr bool borrows = borrowing::possible && (Parts::layers != 0 || Parts::has_failed || !taking::possible);

  static constexpr bool possible = taking::possible || borrowing::possible;
  template <bool called, class = void>
  struct returned_by : std::conditional_t<borrows, borrowing, taking> {};
  template <class Unused>
  struct returned_by<false, Unused> {
    using type = void;
  };
  using returned = typename returned_by<possible && !of_closures>::type;
  static constexpr bool is_async = is_task<returned>;
};

// ---- what is deduced

/// R(Args...) of a function or of a function object with one operator().
template <class F>
struct signature_of : signature_of<decltype(&F::operator())> {};
template <class R, class... Args>
struct signature_of<R (*)(Args...)> {
  using type = R(Args...);
};
template <class R, class... Args>
struct signature_of<R (*)(Args...) noexcept> : signature_of<R (*)(Args...)> {};
template <class F, class R, class... Args>
struct signature_of<R (F::*)(Args...)> : signature_of<R (*)(Args...)> {};
template <class F, class R, class... Args>
struct signature_of<R (F::*)(Args...) const> : signature_of<R (*)(Args...)> {};
template <class F, class R, class... Args>
struct signature_of<R (F::*)(Args...) noexcept> : signature_of<R (*)(Args...)> {};
template <class F, class R, class... Args>
struct signature_of<R (F::*)(Args...) const noexcept> : signature_of<R (*)(Args...)> {};

/// The same as a pool sees it: with what jobs return and keep, and without the worker's state.
template <bool has_state, class Signature>
struct job_signature;
template <class R, class... Args>
struct job_signature<false, R(Args...)> {
  using type = typename unwrapped_task<R>::type(std::remove_cvref_t<Args>...);
};
template <class R, class State, class... Args>
struct job_signature<true, R(State, Args...)> : job_signature<false, R(Args...)> {};

template <class F, class... Extras>
using pool_signature = typename job_signature<(is_worker_state<std::remove_cvref_t<Extras>> || ...),
                                              typename signature_of<std::decay_t<F>>::type>::type;

}  // namespace weir::detail
