#pragma once

#include <cstdint>

#include "../endpoint.hpp"

/// What the sockets of a simulated network know about addresses.
namespace weir::detail {

endpoint with_port(const endpoint& address, std::uint16_t port) noexcept;
/// Whether it stands for every address of its family.
bool is_any(const endpoint& address) noexcept;
bool is_multicast(const endpoint& address) noexcept;
/// ::ffff:1.2.3.4 is 1.2.3.4, and who connects to "any" means this machine.
endpoint meant(const endpoint& address) noexcept;
/// As it is shown to sockets of that family: those of IPv6 see IPv4 addresses in their IPv6 form.
endpoint shown(const endpoint& address, bool v6) noexcept;
/// Whether two sockets with these names would get in each other's way.
bool overlap(const endpoint& a, const endpoint& b) noexcept;

/// The ports that a network gives to those who do not ask for one.
class free_ports {
 public:
  /// The next one that is not taken; 0 when all are.
  template <class IsTaken>
  std::uint16_t next(IsTaken is_taken) {
    for (unsigned tries = 0; tries <= last - first; ++tries) {
      const std::uint16_t port = next_;
      next_ = port == last ? first : static_cast<std::uint16_t>(port + 1);
      if (!is_taken(port)) return port;
    }
    return 0;
  }

 private:
  // As Linux does it.
  static constexpr std::uint16_t first = 32768;
  static constexpr std::uint16_t last = 60999;
  std::uint16_t next_ = first;
};

}  // namespace weir::detail
