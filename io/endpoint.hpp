#pragma once

#include <fmt/core.h>

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace weir {

/// An IP address and a port: where a TCP or UDP socket is. A small value; comparing and copying are cheap.
class endpoint {
 public:
  /// No address at all; to_string() says "(none)".
  endpoint() = default;

  /// 127.0.0.1
  static endpoint loopback(std::uint16_t port) noexcept;
  /// ::1
  static endpoint loopback_v6(std::uint16_t port) noexcept;
  /// 0.0.0.0: every IPv4 address of this machine
  static endpoint any(std::uint16_t port) noexcept;
  /// [::]: every address of this machine, IPv4 too unless the socket says otherwise
  static endpoint any_v6(std::uint16_t port) noexcept;
  /// "127.0.0.1:80", "[::1]:80", "[fe80::1%2]:80" (the scope as a number). Throws std::invalid_argument with a sentence
  /// that quotes `text`. Names are for resolve().
  static endpoint parse(std::string_view text);

  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
  [[nodiscard]] bool is_v4() const noexcept { return family_ == family::v4; }
  [[nodiscard]] bool is_v6() const noexcept { return family_ == family::v6; }
  explicit operator bool() const noexcept { return family_ != family::none; }

  /// As parse() reads it.
  [[nodiscard]] std::string to_string() const;

  friend bool operator==(const endpoint&, const endpoint&) noexcept;
  friend std::strong_ordering operator<=>(const endpoint&, const endpoint&) noexcept;

  // To and from the kernel's form, for the parts of io/ that know it. `storage` holds a sockaddr_in6.
  static constexpr std::size_t native_size = 28;
  static endpoint from_native(const void* storage, std::size_t size) noexcept;
  /// Returns the size used.
  std::size_t to_native(void* storage) const noexcept;

 private:
  enum class family : std::uint8_t { none, v4, v6 };

  std::array<std::uint8_t, 16> address_{};  // network order; IPv4 uses the first four
  std::uint32_t scope_ = 0;
  std::uint16_t port_ = 0;
  family family_ = family::none;
};

}  // namespace weir

template <>
struct fmt::formatter<weir::endpoint> : fmt::formatter<std::string_view> {
  fmt::format_context::iterator format(const weir::endpoint& value, fmt::format_context& context) const;
  template <class Context>
  auto format(const weir::endpoint& value, Context& context) const {
    return fmt::formatter<std::string_view>::format(value.to_string(), context);
  }
};

template <>
struct std::hash<weir::endpoint> {
  std::size_t operator()(const weir::endpoint& value) const noexcept;
};
