#pragma once

#include <string>
#include <system_error>

#include "../runtime/clock.hpp"

namespace weir {

/// The base of errors that know when it is worth coming back: retry() waits at least so long before its next attempt.
/// An error class of one's own, made from an answer "503, Retry-After: 3", may derive from it as well.
class retry_hint {
 public:
  explicit retry_hint(duration after) noexcept : retry_after_(after) {}
  [[nodiscard]] duration retry_after() const noexcept { return retry_after_; }

 private:
  duration retry_after_;
};

/// Thrown in place of a call that was not made: the circuit is open, the bulkhead full, the load shed. The function was
/// not called, so nothing has happened. code() is std::errc::resource_unavailable_try_again; what() says who refused.
///
/// is_transient() is false for it: the refusal is there to take load away, and to repeat the call would bring it back.
class call_refused : public std::system_error, public retry_hint {
 public:
  explicit call_refused(const std::string& sentence, duration after = duration::zero())
      : std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again), sentence),
        retry_hint(after) {}
};

}  // namespace weir
