#include "environment.hpp"

#include <charconv>
#include <cstdlib>
#include <stdexcept>
#include <system_error>

namespace weir {

namespace {

template <class T>
bool read_whole(std::string_view value, T& number) noexcept {
  const auto parsed = std::from_chars(value.data(), value.data() + value.size(), number);
  return parsed.ec == std::errc() && parsed.ptr == value.data() + value.size();
}

}  // namespace

bool detail::read_number(std::string_view value, long long& number) noexcept { return read_whole(value, number); }
bool detail::read_number(std::string_view value, unsigned long long& number) noexcept {
  return read_whole(value, number);
}

const char* detail::environment_value(const char* name) noexcept {
  const char* const value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): the caller is told
  return value && *value != '\0' ? value : nullptr;
}

void detail::refuse_setting(const char* name, std::string_view value, const std::string& what) {
  throw std::invalid_argument("weir::env_or: " + std::string(name) + " is \"" + std::string(value) + "\", which is " +
                              what);
}

bool env_or(const char* name, bool fallback) {
  const char* const found = detail::environment_value(name);
  if (!found) return fallback;
  const std::string_view value = found;
  for (const char* yes : {"1", "true", "yes", "on"}) {
    if (value == yes) return true;
  }
  for (const char* no : {"0", "false", "no", "off"}) {
    if (value == no) return false;
  }
  detail::refuse_setting(name, value, "neither true nor false");
}

std::string env_or(const char* name, std::string_view fallback) {
  const char* const value = detail::environment_value(name);
  return std::string(value ? std::string_view(value) : fallback);
}

}  // namespace weir
