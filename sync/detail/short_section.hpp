#pragma once

#include <type_traits>

#include "../../runtime/detail/operation.hpp"

namespace weir::detail {

/// What a callable returns that is called while a lock is held, with references to what that protects.
template <class F, class... T>
using locked_result = std::invoke_result_t<F, T&...>;

/// Refuses what could not be right.
template <class F, class... T>
constexpr bool short_section() {
  using returned = locked_result<F, T...>;
  static_assert(!operation<returned>,
                "the lock is held while this callable runs, and not while its task does: co_await lock() instead");
  static_assert(!std::is_reference_v<returned>,
                "a reference to what the lock protects is used without the lock: return a copy");
  return true;
}

}  // namespace weir::detail
