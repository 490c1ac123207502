#pragma once

#include <concepts>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>

namespace weir {
namespace detail {

/// The value of an environment variable, if it is set and not empty.
/// Null when it is not set, or empty.
const char* environment_value(const char* name) noexcept;
/// False when it is no such number as a whole.
bool read_number(std::string_view value, long long& number) noexcept;
bool read_number(std::string_view value, unsigned long long& number) noexcept;
[[noreturn]] void refuse_setting(const char* name, std::string_view value, const std::string& what);

}  // namespace detail

/// Settings from the environment, with defaults:
///
///     const std::string queue = weir::env_or("QUEUE_NAME", "tasks");
///     const int workers = weir::env_or("WORKER_COUNT", 10, 1);               // at least 1
///     const bool verbose = weir::env_or("VERBOSE", false);
///
/// A variable that is not set, or empty, means the default. One that is no number, or none from `least` to `most`,
/// throws std::invalid_argument with a sentence that names it: nothing is guessed. Not while another thread changes the
/// environment.
template <std::integral T>
  requires(!std::same_as<T, bool>)
T env_or(const char* name, T fallback, std::type_identity_t<T> least = std::numeric_limits<T>::min(),
         std::type_identity_t<T> most = std::numeric_limits<T>::max()) {
  const char* const value = detail::environment_value(name);
  if (!value) return fallback;
  std::conditional_t<std::is_signed_v<T>, long long, unsigned long long> number = 0;
  if (!detail::read_number(value, number) || number < least || number > most) {
    detail::refuse_setting(name, value, "no number from " + std::to_string(least) + " to " + std::to_string(most));
  }
  return static_cast<T>(number);
}
/// 1, true, yes or on; 0, false, no or off.
bool env_or(const char* name, bool fallback);
std::string env_or(const char* name, std::string_view fallback);
/// So that a literal is no bool.
inline std::string env_or(const char* name, const char* fallback) { return env_or(name, std::string_view(fallback)); }

}  // namespace weir
