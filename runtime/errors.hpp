#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <system_error>

#include "detail/config.hpp"

namespace weir {

/// Why work was cancelled.
enum class cancellation_cause : std::uint8_t {
  none,       ///< it was not
  requested,  ///< somebody asked: a source, a group, a when_any whose other operand was first
  deadline,   ///< a with_timeout or with_deadline ran out
  shutdown,   ///< the runtime is ending
  deadlock,   ///< a simulation found that every task waits
};

/// "requested", "deadline", ...
const char* to_string(cancellation_cause cause) noexcept;

/// Errors that are weir's own, in the category "weir".
enum class errc {
  exception = 1,      ///< an exception that carries no error code; result::exception() has it
  end_of_stream = 2,  ///< a stream ended in the middle of what was to be read
};

const std::error_category& weir_category() noexcept;
std::error_code make_error_code(errc value) noexcept;

/// Thrown by the scope whose own source was cancelled, and by who observes the stop of another task.
/// code() is std::errc::operation_canceled.
class cancelled : public std::system_error {
 public:
  explicit cancelled(cancellation_cause cause = cancellation_cause::requested);
  [[nodiscard]] cancellation_cause cause() const noexcept { return cause_; }

 private:
  cancellation_cause cause_;
};

/// Thrown by with_timeout and with_deadline when their own time ran out. code() is std::errc::timed_out.
class timed_out : public std::system_error {
 public:
  timed_out();
};

/// Thrown by simulation::run when every task waits and no timer is left. what() names each task and what it awaits.
class deadlock : public std::runtime_error {
 public:
  explicit deadlock(const std::string& report) : std::runtime_error(report) {}
};

}  // namespace weir

template <>
struct std::is_error_code_enum<weir::errc> : std::true_type {};
