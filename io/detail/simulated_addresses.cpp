#include "simulated_addresses.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>

namespace weir::detail {

endpoint with_port(const endpoint& address, std::uint16_t port) noexcept {
  sockaddr_storage storage{};
  const std::size_t size = address.to_native(&storage);
  if (address.is_v6()) {
    reinterpret_cast<sockaddr_in6&>(storage).sin6_port = htons(port);
  } else {
    reinterpret_cast<sockaddr_in&>(storage).sin_port = htons(port);
  }
  return endpoint::from_native(&storage, size);
}

bool is_any(const endpoint& address) noexcept {
  return address == endpoint::any(address.port()) || address == endpoint::any_v6(address.port());
}

endpoint meant(const endpoint& address) noexcept {
  if (address == endpoint::any(address.port())) return endpoint::loopback(address.port());
  if (address == endpoint::any_v6(address.port())) return endpoint::loopback_v6(address.port());
  if (!address.is_v6()) return address;
  sockaddr_in6 v6{};
  sockaddr_storage storage{};
  address.to_native(&storage);
  std::memcpy(&v6, &storage, sizeof v6);
  if (!IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) return address;
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = v6.sin6_port;
  std::memcpy(&v4.sin_addr, &v6.sin6_addr.s6_addr[12], sizeof v4.sin_addr);
  return endpoint::from_native(&v4, sizeof v4);
}

bool overlap(const endpoint& a, const endpoint& b) noexcept {
  if (a.port() != b.port()) return false;
  if (a == b) return true;
  const endpoint all_v6 = endpoint::any_v6(a.port());
  if (a == all_v6 || b == all_v6) return true;
  return a.is_v6() == b.is_v6() && (is_any(a) || is_any(b));
}

bool is_multicast(const endpoint& address) noexcept {
  sockaddr_storage storage{};
  address.to_native(&storage);
  if (address.is_v6()) return IN6_IS_ADDR_MULTICAST(&reinterpret_cast<const sockaddr_in6&>(storage).sin6_addr);
  return address && IN_MULTICAST(ntohl(reinterpret_cast<const sockaddr_in&>(storage).sin_addr.s_addr));
}

endpoint shown(const endpoint& address, bool v6) noexcept {
  if (!v6 || !address.is_v4()) return address;
  sockaddr_storage storage{};
  sockaddr_in v4{};
  address.to_native(&storage);
  std::memcpy(&v4, &storage, sizeof v4);
  sockaddr_in6 mapped{};
  mapped.sin6_family = AF_INET6;
  mapped.sin6_port = v4.sin_port;
  mapped.sin6_addr.s6_addr[10] = mapped.sin6_addr.s6_addr[11] = 0xff;
  std::memcpy(&mapped.sin6_addr.s6_addr[12], &v4.sin_addr, sizeof v4.sin_addr);
  return endpoint::from_native(&mapped, sizeof mapped);
}

}  // namespace weir::detail
