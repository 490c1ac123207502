#include "unix_endpoint.hpp"

#include <fmt/format.h>

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace weir {

namespace {

constexpr std::size_t name_offset = offsetof(sockaddr_un, sun_path);

[[noreturn]] void refuse(int error, const std::string& why) {
  throw std::system_error(error, std::generic_category(), "unix_endpoint: " + why);
}

void check_length(const char* what, std::string_view name) {
  if (name.empty()) refuse(EINVAL, fmt::format("the {} is empty", what));
  if (name.size() > unix_endpoint::longest) {
    refuse(ENAMETOOLONG, fmt::format("the {} \"{}\" has {} bytes, and a unix socket's may have {}", what, name,
                                     name.size(), unix_endpoint::longest));
  }
}

}  // namespace

unix_endpoint::unix_endpoint(kind what, std::string_view name) noexcept
    : kind_(what), size_(static_cast<std::uint8_t>(name.size())) {
  std::copy(name.begin(), name.end(), name_.begin());
}

unix_endpoint::unix_endpoint(std::string_view path) {
  check_length("path", path);
  if (path.find('\0') != std::string_view::npos) refuse(EINVAL, "the path has a zero byte in it");
  *this = unix_endpoint(kind::path, path);
}

unix_endpoint unix_endpoint::abstract(std::string_view name) {
  check_length("abstract name", name);
  return {kind::abstract, name};
}

unix_endpoint unix_endpoint::any() noexcept { return {kind::any, {}}; }

std::string unix_endpoint::to_string() const {
  switch (kind_) {
    case kind::none:
      break;
    case kind::any:
      return "(any)";
    case kind::path:
      return std::string(name());
    case kind::abstract: {
      std::string text = "@";
      for (const char c : name()) {
        if (c >= ' ' && c <= '~') {
          text += c;
        } else {
          text += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
        }
      }
      return text;
    }
  }
  return "(unnamed)";
}

unix_endpoint unix_endpoint::from_native(const void* storage, std::size_t size) noexcept {
  static_assert(sizeof(sockaddr_un) == native_size);
  sockaddr_un address{};
  std::memcpy(&address, storage, std::min(size, sizeof address));
  if (size <= name_offset || address.sun_family != AF_UNIX) return {};
  const std::string_view name(static_cast<const char*>(address.sun_path),
                              std::min(size - name_offset, sizeof address.sun_path));
  if (name.front() == '\0') return {kind::abstract, name.substr(1)};
  // The kernel may count a zero behind the path, or leave it out.
  const std::string_view path = name.substr(0, name.find('\0'));
  return {kind::path, path.substr(0, longest)};
}

std::size_t unix_endpoint::to_native(void* storage) const noexcept {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::size_t before = is_abstract() ? 1 : 0;
  std::memcpy(&address.sun_path[before], name_.data(), size_);
  std::memcpy(storage, &address, sizeof address);
  // A path with its zero; an abstract name is all that is counted.
  return *this ? name_offset + size_ + 1 : name_offset;
}

bool operator==(const unix_endpoint&, const unix_endpoint&) noexcept = default;
std::strong_ordering operator<=>(const unix_endpoint&, const unix_endpoint&) noexcept = default;

}  // namespace weir

std::size_t std::hash<weir::unix_endpoint>::operator()(const weir::unix_endpoint& value) const noexcept {
  return std::hash<std::string_view>()(value.name()) * 2 + static_cast<std::size_t>(value.is_abstract());
}

fmt::format_context::iterator fmt::formatter<weir::unix_endpoint>::format(const weir::unix_endpoint& value,
                                                                          fmt::format_context& context) const {
  return fmt::formatter<std::string_view>::format(value.to_string(), context);
}
