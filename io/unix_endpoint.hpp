#pragma once

#include <fmt/core.h>

#include <array>
#include <compare>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace weir {

/// Where a unix socket is: a path, an abstract name, or nowhere. A small value; comparing and copying are cheap.
class unix_endpoint {
 public:
  /// How long a path or an abstract name may be.
  static constexpr std::size_t longest = 107;

  /// No address, as a socket has that was not bound; to_string() says "(unnamed)".
  unix_endpoint() = default;
  /// A path. Throws std::system_error: ENAMETOOLONG with a sentence that tells its length, EINVAL when it is empty or
  /// has a zero byte in it. One that is too long may be reached by a shorter, relative one.
  explicit(false) unix_endpoint(std::string_view path);
  template <class T>
    requires std::convertible_to<const T&, std::string_view> && (!std::same_as<T, std::string_view>)
  explicit(false) unix_endpoint(const T& path) : unix_endpoint(static_cast<std::string_view>(path)) {}

  /// A name that no file has, and that is gone with its last socket. Everybody in the same network namespace may use
  /// it: there are no permissions. It may be any bytes, at least one. Throws std::system_error as the constructor does.
  static unix_endpoint abstract(std::string_view name);
  /// For bind(): an abstract name that the kernel picks; see local_endpoint().
  static unix_endpoint any() noexcept;

  [[nodiscard]] bool is_path() const noexcept { return kind_ == kind::path; }
  [[nodiscard]] bool is_abstract() const noexcept { return kind_ == kind::abstract; }
  /// Whether it is a path or an abstract name.
  explicit operator bool() const noexcept { return is_path() || is_abstract(); }
  /// The path, or the abstract name. Refers to this object.
  [[nodiscard]] std::string_view name() const noexcept { return {name_.data(), size_}; }

  /// The path; an abstract name after an "@", as in /proc/net/unix, its bytes that are no text as "\x00".
  [[nodiscard]] std::string to_string() const;

  friend bool operator==(const unix_endpoint&, const unix_endpoint&) noexcept;
  friend std::strong_ordering operator<=>(const unix_endpoint&, const unix_endpoint&) noexcept;

  // To and from the kernel's form, for the parts of io/ that know it. `storage` holds a sockaddr_un.
  static constexpr std::size_t native_size = 110;
  static unix_endpoint from_native(const void* storage, std::size_t size) noexcept;
  /// Returns the size used.
  std::size_t to_native(void* storage) const noexcept;

 private:
  enum class kind : std::uint8_t { none, any, path, abstract };

  unix_endpoint(kind what, std::string_view name) noexcept;

  kind kind_ = kind::none;
  std::uint8_t size_ = 0;
  std::array<char, longest> name_{};  // zero behind the name
};

}  // namespace weir

template <>
struct fmt::formatter<weir::unix_endpoint> : fmt::formatter<std::string_view> {
  fmt::format_context::iterator format(const weir::unix_endpoint& value, fmt::format_context& context) const;
  template <class Context>
  auto format(const weir::unix_endpoint& value, Context& context) const {
    return fmt::formatter<std::string_view>::format(value.to_string(), context);
  }
};

template <>
struct std::hash<weir::unix_endpoint> {
  std::size_t operator()(const weir::unix_endpoint& value) const noexcept;
};
