#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "../../runtime/clock.hpp"
#include "../endpoint.hpp"
#include "simulated_addresses.hpp"

namespace weir::detail {

class simulated_kernel;
class simulated_udp_socket;

/// UDP on the network of a simulation: one machine that has every address, and every multicast group's members.
///
/// As on Linux: what comes to a full queue is lost; who is connected hears only its peer, and is told by an error that
/// nobody is there; of sockets that share an address all get what is sent to a group, and of those that share a port
/// one gets what comes from a sender. What the dice lose, double and hold up is what simulated_network says.
class simulated_udp {
 public:
  explicit simulated_udp(simulated_kernel& kernel) noexcept : kernel_(kernel) {}

  /// The number of a new socket.
  int make(bool v6);

 private:
  friend class simulated_udp_socket;
  using socket = std::shared_ptr<simulated_udp_socket>;

  /// What travels.
  struct datagram {
    socket sender;
    endpoint from;
    endpoint to;
    std::vector<std::byte> bytes;
  };

  int bind(simulated_udp_socket& at, const endpoint& local);
  int send(const socket& from, std::span<const std::byte> bytes, const endpoint& to);
  [[nodiscard]] duration time_on_line(std::size_t bytes) const noexcept;
  void arrive(const datagram& what);
  void deliver(const socket& to, const datagram& what);
  /// Nobody is where it was sent: who is connected is told.
  void refuse(const datagram& what);
  [[nodiscard]] std::vector<socket> receivers_of(const datagram& what) const;
  [[nodiscard]] bool is_taken(const endpoint& address, bool shares_address, bool shares_port) const;
  std::uint16_t free_port();
  void forget_name(const simulated_udp_socket& bound) { std::erase(bound_, &bound); }

  simulated_kernel& kernel_;
  std::vector<simulated_udp_socket*> bound_;  // in the order in which they were bound
  free_ports ports_;
};

}  // namespace weir::detail
