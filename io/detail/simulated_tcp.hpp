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
class simulated_tcp_socket;

/// TCP on the network of a simulation: one machine that has every address.
///
/// As on Linux: a listener's queue is full when more than `backlog` wait in it, and then who connects is not answered
/// and tries again; closing with data unread resets the connection, and so does closing with a linger time of zero;
/// data that arrived before a reset can be read; data for a closed socket is answered with a reset.
class simulated_tcp {
 public:
  explicit simulated_tcp(simulated_kernel& kernel) noexcept : kernel_(kernel) {}

  /// The number of a new socket.
  int make(bool v6);

 private:
  friend class simulated_tcp_socket;
  using socket = std::shared_ptr<simulated_tcp_socket>;

  /// What travels. `to` may be closed, or have other worries, when it arrives.
  struct packet {
    enum class kind : std::uint8_t {
      hello,    // connect: wants a connection to the listener at to_address
      welcome,  // the listener has made `from` for `to`
      ready,    // `from`, made for a connection, goes into the queue of the listener `to`
      refusal,  // nobody listens there
      part,     // the next of what is on its way to `to`
      room,     // `from` has read `bytes`
      reset,
    };
    kind what;
    socket from;
    socket to;
    std::size_t bytes = 0;
  };

  // The calls of sockets that concern others.
  int bind(const socket& at, const endpoint& local);
  int connect(const socket& at, const endpoint& peer);
  int shutdown(const socket& at, int how);
  int accept(const socket& at, endpoint& peer);
  int receive(const socket& at, std::span<std::byte> into);
  int send(const socket& at, std::span<const std::byte> from);

  void send_packet(packet p);
  void send_at(time_point due, packet p, unsigned attempt = 0);
  void send_again(packet p, unsigned attempt);
  void arrive(const packet& p, unsigned attempt);
  void arrive_hello(const packet& p, unsigned attempt);
  void arrive_part(const packet& p);
  /// Puts what has been queued for the other end on its way, behind what is on its way already.
  void send_part(simulated_tcp_socket& from, std::size_t bytes);
  void send_end(simulated_tcp_socket& from);
  void send_reset(simulated_tcp_socket& from);
  /// The connection is over: `error` is what the next operation gets.
  void fail(const socket& at, int error);
  /// Both ends fail.
  void break_connection(const socket& at);
  void close(simulated_tcp_socket& closing);
  void forget_name(const simulated_tcp_socket& bound);

  /// A listener for `address`, or null. Where several share it, the dice decide.
  socket listener_at(const endpoint& address);
  [[nodiscard]] bool is_taken(const endpoint& address, bool shareable) const;
  std::uint16_t free_port();

  simulated_kernel& kernel_;
  std::vector<simulated_tcp_socket*> bound_;
  free_ports ports_;
};

}  // namespace weir::detail
