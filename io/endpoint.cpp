#include "endpoint.hpp"

#include <fmt/format.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <charconv>
#include <cstring>
#include <stdexcept>

namespace weir {

endpoint endpoint::any(std::uint16_t port) noexcept {
  endpoint e;
  e.family_ = family::v4;
  e.port_ = port;
  return e;
}

endpoint endpoint::any_v6(std::uint16_t port) noexcept {
  endpoint e;
  e.family_ = family::v6;
  e.port_ = port;
  return e;
}

endpoint endpoint::loopback(std::uint16_t port) noexcept {
  endpoint e = any(port);
  e.address_[0] = 127;
  e.address_[3] = 1;
  return e;
}

endpoint endpoint::loopback_v6(std::uint16_t port) noexcept {
  endpoint e = any_v6(port);
  e.address_[15] = 1;
  return e;
}

namespace {

template <class T>
bool parse_number(std::string_view text, T& out) noexcept {
  const char* end = text.data() + text.size();
  const auto [stop, error] =
      std::from_chars(text.data(), end, out);  // NOLINT(bugprone-suspicious-stringview-data-usage)
  return error == std::errc{} && stop == end && !text.empty();
}

}  // namespace

endpoint endpoint::parse(std::string_view text) {
  endpoint e;
  const std::size_t colon = text.rfind(':');
  bool good = colon != std::string_view::npos && parse_number(text.substr(colon + 1), e.port_);
  if (good) {
    std::string host(text.substr(0, colon));
    if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
      host = host.substr(1, host.size() - 2);
      if (const std::size_t percent = host.find('%'); percent != std::string::npos) {
        good = parse_number(std::string_view(host).substr(percent + 1), e.scope_);
        host.resize(percent);
      }
      good = good && inet_pton(AF_INET6, host.c_str(), e.address_.data()) == 1;
      e.family_ = family::v6;
    } else {
      good = inet_pton(AF_INET, host.c_str(), e.address_.data()) == 1;
      e.family_ = family::v4;
    }
  }
  if (!good) {
    throw std::invalid_argument(
        fmt::format("endpoint \"{}\": expected an address and a port, as in 127.0.0.1:80 or [::1]:80", text));
  }
  return e;
}

std::string endpoint::to_string() const {
  std::array<char, INET6_ADDRSTRLEN> text{};
  switch (family_) {
    case family::none:
      break;
    case family::v4:
      inet_ntop(AF_INET, address_.data(), text.data(), text.size());
      return fmt::format("{}:{}", text.data(), port_);
    case family::v6:
      inet_ntop(AF_INET6, address_.data(), text.data(), text.size());
      if (scope_ != 0) return fmt::format("[{}%{}]:{}", text.data(), scope_, port_);
      return fmt::format("[{}]:{}", text.data(), port_);
  }
  return "(none)";
}

endpoint endpoint::from_native(const void* storage, std::size_t size) noexcept {
  endpoint e;
  sa_family_t kind = AF_UNSPEC;
  if (size >= sizeof kind) std::memcpy(&kind, storage, sizeof kind);
  if (kind == AF_INET && size >= sizeof(sockaddr_in)) {
    sockaddr_in in{};
    std::memcpy(&in, storage, sizeof in);
    e.family_ = family::v4;
    e.port_ = ntohs(in.sin_port);
    std::memcpy(e.address_.data(), &in.sin_addr, sizeof in.sin_addr);
  } else if (kind == AF_INET6 && size >= sizeof(sockaddr_in6)) {
    sockaddr_in6 in{};
    std::memcpy(&in, storage, sizeof in);
    e.family_ = family::v6;
    e.port_ = ntohs(in.sin6_port);
    e.scope_ = in.sin6_scope_id;
    std::memcpy(e.address_.data(), &in.sin6_addr, sizeof in.sin6_addr);
  }
  return e;
}

std::size_t endpoint::to_native(void* storage) const noexcept {
  if (family_ == family::v6) {
    sockaddr_in6 in{};
    in.sin6_family = AF_INET6;
    in.sin6_port = htons(port_);
    in.sin6_scope_id = scope_;
    std::memcpy(&in.sin6_addr, address_.data(), sizeof in.sin6_addr);
    std::memcpy(storage, &in, sizeof in);
    return sizeof in;
  }
  sockaddr_in in{};
  in.sin_family = family_ == family::v4 ? AF_INET : AF_UNSPEC;
  in.sin_port = htons(port_);
  std::memcpy(&in.sin_addr, address_.data(), sizeof in.sin_addr);
  std::memcpy(storage, &in, sizeof in);
  return sizeof in;
}

bool operator==(const endpoint&, const endpoint&) noexcept = default;
std::strong_ordering operator<=>(const endpoint&, const endpoint&) noexcept = default;

}  // namespace weir

std::size_t std::hash<weir::endpoint>::operator()(const weir::endpoint& value) const noexcept {
  // FNV-1a over the native form, which has no padding that is not zero.
  alignas(8) std::array<unsigned char, 128> native{};
  const std::size_t size = value.to_native(native.data());
  std::size_t value_hash = 14695981039346656037u;
  for (std::size_t i = 0; i < size; ++i) value_hash = (value_hash ^ native[i]) * 1099511628211u;
  return value_hash;
}

fmt::format_context::iterator fmt::formatter<weir::endpoint>::format(const weir::endpoint& value,
                                                                     fmt::format_context& context) const {
  return fmt::formatter<std::string_view>::format(value.to_string(), context);
}
