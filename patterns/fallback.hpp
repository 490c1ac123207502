#pragma once

#include <concepts>
#include <cstdint>
#include <exception>
#include <system_error>
#include <type_traits>
#include <utility>

#include "../runtime/as_result.hpp"
#include "../runtime/detail/invoke.hpp"
#include "../runtime/task.hpp"
#include "detail/protected_call.hpp"
#include "detail/tally.hpp"

namespace weir {
namespace detail {

/// Everything but a cancellation: who ended the call does not want another answer.
struct any_error {
  bool operator()(std::error_code error) const noexcept { return error != std::errc::operation_canceled; }
};

}  // namespace detail

/// An answer for when there is none: a value, or a function that makes one and may return a task.
///
///     weir::fallback last_known(std::string("n/a"));
///     weir::fallback from_cache([&](const std::exception_ptr&) { return cache.get(); });
///     auto price = co_await from_cache.run(ask_server);
///
/// It is taken when the call throws: for every error but `cancelled`, or those for which `handles(error)` is true,
/// which takes a std::error_code or a `const std::exception_ptr&`. A function may take the exception, or nothing. What
/// the function throws is thrown. Any number of tasks may use it at once: the value is copied, the function called by
/// them all. It must outlive them.
template <class Alternative, class Handles = detail::any_error>
class fallback {
 public:
  explicit fallback(Alternative alternative, Handles handles = Handles())
      : alternative_(std::move(alternative)), handles_(std::move(handles)) {}

  /// Completes with what `function()` completes with, or with the alternative. A stop goes through, and takes no
  /// alternative. A frame, and another for a call that is no task.
  template <detail::protectable F>
  task<detail::call_value_t<std::decay_t<F>>> run(F&& function) WEIR_DETAIL_LIFETIMEBOUND {
    WEIR_DETAIL_REQUIRE_NAMED(F);
    return run_kept<std::decay_t<F>>(std::forward<F>(function));
  }

  /// How many calls took the alternative.
  [[nodiscard]] std::uint64_t used() const noexcept { return used_.read(); }

 private:
  static constexpr bool takes_error = std::invocable<Alternative&, const std::exception_ptr&>;
  static constexpr bool takes_nothing = std::invocable<Alternative&>;

  [[nodiscard]] bool handles(std::error_code code, const std::exception_ptr& error) {
    if constexpr (std::predicate<Handles&, const std::exception_ptr&>) {
      return detail::invoke(handles_, error);
    } else {
      static_assert(std::predicate<Handles&, std::error_code>,
                    "fallback: the predicate takes a std::error_code or a const std::exception_ptr&");
      return detail::invoke(handles_, code);
    }
  }

  template <class F>
  task<detail::call_value_t<F>> run_kept(F function) {
    auto call = detail::start_call(function);
    auto outcome = co_await as_result(std::move(call));
    if (outcome) co_return std::move(outcome).value();
    const std::exception_ptr error = outcome.exception();
    const bool taken = handles(outcome.error(), error);
    if (!taken) std::rethrow_exception(error);
    used_.add();
    if constexpr (takes_error || takes_nothing) {
      auto other = [&]() -> decltype(auto) {
        if constexpr (takes_error) {
          return detail::invoke(alternative_, error);
        } else {
          return detail::invoke(alternative_);
        }
      };
      auto instead = detail::start_call(other);
      if constexpr (std::is_void_v<detail::call_value_t<F>>) {
        static_cast<void>(co_await std::move(instead));
      } else {
        co_return co_await std::move(instead);
      }
    } else {
      static_assert(std::is_constructible_v<detail::call_value_t<F>, const Alternative&>,
                    "fallback: the alternative is neither a function nor a value of the type that the call returns");
      co_return detail::call_value_t<F>(alternative_);
    }
  }

  Alternative alternative_;
  Handles handles_;
  detail::tally used_;
};

}  // namespace weir
