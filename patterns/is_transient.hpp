#pragma once

#include <exception>
#include <system_error>

namespace weir {

/// Whether a call that failed so may well succeed when it is repeated: time-outs, refused, reset or broken connections,
/// unreachable hosts and networks, a stream that ended too early, and resources that are used up for the moment. False
/// for everything else, such as "permission denied" or "no such file": the same call would fail the same way.
///
/// `timed_out` of weir is transient; `cancelled` is not, nor is anything whose code is operation_canceled: somebody
/// wanted the call to end.
[[nodiscard]] bool is_transient(std::error_code error) noexcept;

/// The same for an exception. One that is no std::system_error is not transient, because nothing is known of it, nor is
/// a call_refused. Null is not.
[[nodiscard]] bool is_transient(const std::exception_ptr& error) noexcept;

}  // namespace weir
