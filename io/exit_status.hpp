#pragma once

#include <fmt/core.h>

#include <string>
#include <string_view>

namespace weir {

/// How a process has ended: by itself with a code, or by a signal.
struct exit_status {
  /// What it has returned from main(), or given to exit(); 0 when a signal has ended it.
  int code = 0;
  /// The signal that has ended it; 0 when it has ended by itself.
  int signal = 0;
  /// Whether the signal has left a core file.
  bool core_dumped = false;

  /// Whether it has ended by itself, with 0.
  [[nodiscard]] bool success() const noexcept { return signal == 0 && code == 0; }
  /// "exit code 3", "signal 9 (Killed)".
  [[nodiscard]] std::string to_string() const;

  friend bool operator==(const exit_status&, const exit_status&) = default;
};

}  // namespace weir

template <>
struct fmt::formatter<weir::exit_status> : fmt::formatter<std::string_view> {
  fmt::format_context::iterator format(const weir::exit_status& value, fmt::format_context& context) const;
  template <class Context>
  auto format(const weir::exit_status& value, Context& context) const {
    return fmt::formatter<std::string_view>::format(value.to_string(), context);
  }
};
