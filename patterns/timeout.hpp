#pragma once

#include <utility>

#include "../runtime/clock.hpp"
#include "../runtime/detail/light_std.hpp"
#include "../runtime/task.hpp"
#include "../runtime/with_timeout.hpp"
#include "detail/protected_call.hpp"

namespace weir {

/// with_timeout as a wrapper, to stand in a policy: each call may take so long, and is stopped when the time is over.
///
///     weir::policy calls(weir::retry_policy({.attempts = 3}), weir::timeout(200ms));  // 200 ms for each attempt
class timeout {
 public:
  template <class Rep, class Period>
  explicit timeout(std::chrono::duration<Rep, Period> length) noexcept : length_(detail::to_duration(length)) {}

  /// Completes with what `function()` completes with, or throws timed_out. A stop goes through. A frame, and another
  /// for a call that is no task.
  template <detail::protectable F>
  task<detail::call_value_t<std::decay_t<F>>> run(F&& function) const {
    WEIR_DETAIL_REQUIRE_NAMED(F);
    return within<std::decay_t<F>>(length_, std::forward<F>(function));
  }

 private:
  template <class F>
  static task<detail::call_value_t<F>> within(duration length, F function) {
    auto call = detail::start_call(function);
    co_return co_await with_timeout(length, std::move(call));
  }

  duration length_;
};

}  // namespace weir
