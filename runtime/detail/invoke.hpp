#pragma once

#include <tuple>

namespace weir::detail {

/// std::invoke, without <functional>. Say detail::invoke: by the bare name std's may be found as well.
template <class F, class... Args>
constexpr decltype(auto) invoke(F&& function, Args&&... args) {
  if constexpr (requires { static_cast<F&&>(function)(static_cast<Args&&>(args)...); }) {
    return static_cast<F&&>(function)(static_cast<Args&&>(args)...);
  } else {  // a pointer to a member
    return std::apply(static_cast<F&&>(function), std::forward_as_tuple(static_cast<Args&&>(args)...));
  }
}

}  // namespace weir::detail
