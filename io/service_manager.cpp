#include "service_manager.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <string>
#include <system_error>

#include "detail/simulated_kernel.hpp"
#include "detail/system_calls.hpp"
#include "unique_descriptor.hpp"
#include "unix_endpoint.hpp"

namespace weir {

namespace {

[[noreturn]] void fail(int error, std::string_view object) {
  throw std::system_error(error, std::generic_category(), fmt::format("notify {}", object));
}

/// As systemd writes it: a path, or an abstract name behind an "@".
unix_endpoint address_in(std::string_view text) {
  if (text.starts_with('/')) return text;
  if (text.starts_with('@')) return unix_endpoint::abstract(text.substr(1));
  fail(EAFNOSUPPORT, text);
}

/// A variable of the environment, empty if there is none.
std::string_view variable(const char* name) noexcept {
  const char* const value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): read only
  return value ? value : "";
}

template <class T>
bool parse(std::string_view text, T& value) noexcept {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

bool notify_service_manager(std::string_view state) {
  const std::string_view where = variable("NOTIFY_SOCKET");
  if (where.empty() || detail::simulated_kernel::here()) return false;
  const unix_endpoint peer = address_in(where);
  const unique_descriptor socket(detail::system_calls::make_unix_socket(SOCK_DGRAM));
  if (!socket) fail(-socket.number(), where);
  alignas(8) std::array<std::byte, unix_endpoint::native_size> address{};
  const auto size = static_cast<socklen_t>(peer.to_native(address.data()));
  const auto* const to = reinterpret_cast<const sockaddr*>(address.data());
  if (::sendto(socket.number(), state.data(), state.size(), MSG_NOSIGNAL | MSG_DONTWAIT, to, size) < 0) {
    fail(errno, where);
  }
  return true;
}

bool notify_ready() { return notify_service_manager("READY=1"); }
bool notify_stopping() { return notify_service_manager("STOPPING=1"); }
bool notify_watchdog() { return notify_service_manager("WATCHDOG=1"); }

bool notify_reloading() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  const auto since = std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
  return notify_service_manager(fmt::format("RELOADING=1\nMONOTONIC_USEC={}",
                                            std::chrono::duration_cast<std::chrono::microseconds>(since).count()));
}

bool notify_status(std::string_view line) {
  if (line.find('\n') != std::string_view::npos) fail(EINVAL, "the status: it is one line");
  return notify_service_manager(fmt::format("STATUS={}", line));
}

std::optional<duration> watchdog_interval() {
  const std::string_view pid = variable("WATCHDOG_PID");
  pid_t whose = 0;
  if (!pid.empty() && (!parse(pid, whose) || whose != ::getpid())) return std::nullopt;
  std::int64_t microseconds = 0;
  if (!parse(variable("WATCHDOG_USEC"), microseconds) || microseconds <= 0) return std::nullopt;
  if (microseconds > duration::max().count() / 1000) return std::nullopt;
  return std::chrono::microseconds(microseconds);
}

}  // namespace weir
