#pragma once

#include <concepts>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include "../runtime/detail/invoke.hpp"
#include "../runtime/task.hpp"
#include "../sync/channel.hpp"
#include "detail/stage_function.hpp"

namespace weir {

/// An item for which the function of a stage threw, and what it threw. Stages get rid of them with `or_else`:
///
///     weir::channel<weir::failed_item<order>> refused(100);
///     from(orders) | transform(price, {.workers = 8}).or_else(refused) | for_each(store)
///
///     transform(f).or_else(channel)     sends it there, and waits for room
///     transform(f).or_else(function)    calls `function(failed_item<T>)`, which may return a task
///     for_each(f).or_else(...)          the same
///
/// The pipeline goes on with the next item; the stage's counters count an error. So that the item is still there, the
/// stage's function is called with it as a const item: one that takes it by value gets a copy. With workers several of
/// them may call `function` at once.
///
/// A stop is no error: it goes through. What `function` throws ends the pipeline, and so does the error itself when the
/// channel has been closed. The channel must outlive the pipeline, and is left open at its end.
template <class T>
struct failed_item {
  T item;
  std::exception_ptr error;
};

namespace detail {

template <class T>
class side_channel {
 public:
  explicit side_channel(channel<failed_item<T>>& to) noexcept : to_(&to) {}
  task<> operator()(failed_item<T> failed) const {
    const bool taken = co_await to_->send(std::move(failed));
    if (!taken) std::rethrow_exception(failed.error);  // a send that was refused has not touched it
  }

 private:
  channel<failed_item<T>>* to_;
};

/// A stage's function that gives failed items to `Target`. It returns an optional: empty for these.
template <class Fn, class Target>
class guarded {
  template <class T>
  using value_t = typename unwrapped_task<stage_return_t<Fn, const T&>>::type;
  template <class T>
  using made_t = std::conditional_t<std::is_void_v<value_t<T>>, std::monostate, std::remove_cvref_t<value_t<T>>>;

 public:
  guarded(Fn function, Target target) : function_(std::move(function)), target_(std::move(target)) {}

  template <class T>
    requires(!std::is_reference_v<T> && !std::is_const_v<T>)
  auto operator()(T&& item) {
    static_assert(std::invocable<Fn&, const T&>,
                  "or_else: the function must take its item by const reference, or the item must be copyable: or there "
                  "would be nothing left of it when the function has failed");
    static_assert(std::invocable<Target&, failed_item<T>>,
                  "or_else takes a channel of failed_item<T>, or a function of one, where T are the stage's items");
    if constexpr (is_async_stage<Fn, const T&> || is_async_stage<Target, failed_item<T>>) {
      return attempt<T>(std::move(item));
    } else {
      try {
        return call(std::as_const(item));
      } catch (...) {
        target_(failed_item<T>{std::move(item), std::current_exception()});
      }
      return std::optional<made_t<T>>();
    }
  }

 private:
  template <class T>
  std::optional<made_t<T>> call(const T& item) {
    if constexpr (std::is_void_v<value_t<T>>) {
      detail::invoke(function_, item);
      return std::optional<made_t<T>>(std::in_place);
    } else {
      return std::optional<made_t<T>>(std::in_place, detail::invoke(function_, item));
    }
  }

  template <class T>
  task<std::optional<made_t<T>>> attempt(T item) {
    std::exception_ptr error;
    try {
      if constexpr (!is_async_stage<Fn, const T&>) {
        co_return call(std::as_const(item));
      } else if constexpr (std::is_void_v<value_t<T>>) {
        co_await detail::invoke(function_, std::as_const(item));
        co_return std::optional<made_t<T>>(std::in_place);
      } else {
        auto made = co_await detail::invoke(function_, std::as_const(item));
        co_return std::optional<made_t<T>>(std::in_place, std::move(made));
      }
    } catch (...) {
      error = std::current_exception();
    }
    failed_item<T> failed{std::move(item), std::move(error)};
    if constexpr (is_async_stage<Target, failed_item<T>>) {
      co_await detail::invoke(target_, std::move(failed));
    } else {
      detail::invoke(target_, std::move(failed));
    }
    co_return std::nullopt;
  }

  Fn function_;
  Target target_;
};

template <class Fn, class Target>
inline constexpr bool may_make_nothing<guarded<Fn, Target>> = true;

template <class Fn, class T>
auto guard_with(Fn function, channel<failed_item<T>>& target) {
  return guarded<Fn, side_channel<T>>(std::move(function), side_channel<T>(target));
}
template <class Fn, class Target>
auto guard_with(Fn function, Target&& target) {
  return guarded<Fn, std::decay_t<Target>>(std::move(function), std::forward<Target>(target));
}

}  // namespace detail
}  // namespace weir
