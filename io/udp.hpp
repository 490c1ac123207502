#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "../runtime/detail/config.hpp"
#include "endpoint.hpp"
#include "operations/datagram.hpp"
#include "operations/poll.hpp"
#include "operations/send_segments.hpp"
#include "socket_base.hpp"

namespace weir {

struct udp_options {
  /// Bind although another socket that says so too has the port: for multicast, where each of them gets everything.
  bool reuse_address = false;
  /// Share the port with other sockets that say so too; the kernel spreads senders over them.
  bool reuse_port = false;
};
static_assert(detail::trivially_destructible<udp_options>);

/// A UDP socket. Any number of tasks may receive and send at the same time: each datagram is received once. Buffers
/// must live until the operation has ended.
///
/// The network may lose, double and reorder datagrams. Errors are std::system_error with a sentence such as
/// "send to 192.0.2.1:53: Network is unreachable". Operations allocate nothing.
class udp_socket : public socket_base {
 public:
  udp_socket() = default;

  /// Binds at once; who only asks binds to endpoint::any(0). Port 0 picks a free one: see local_endpoint(). Throws
  /// std::system_error: "bind 127.0.0.1:53: Address already in use".
  static udp_socket bind(const endpoint& local, udp_options options = {});
  /// A socket of some port that talks with `peer` only. Nothing is sent: that nobody is there is told by a later
  /// operation (ECONNREFUSED), if at all.
  static udp_socket connect(const endpoint& peer);

  /// Completes with the next datagram, its first part if `into` is shorter. A datagram holds at most 65,507 bytes.
  /// Cancelled: no datagram is lost; one that had been taken is delivered.
  [[nodiscard]] auto receive(std::span<std::byte> into) noexcept {
    return detail::receive_datagram_operation<endpoint>(target(), into);
  }
  /// Sends one datagram, which may be empty, to `peer`; waits only while the kernel has no room for it. Longer than
  /// the network takes: EMSGSIZE. Cancelled while it waits: it was not sent.
  [[nodiscard]] auto send_to(std::span<const std::byte> bytes, const endpoint& peer) noexcept {
    return detail::send_datagram_operation(target(), bytes, peer);
  }
  /// The same to whom it is connected.
  [[nodiscard]] auto send(std::span<const std::byte> bytes) noexcept {
    return detail::send_datagram_operation(target(), bytes);
  }

  /// Sends many datagrams of `segment_size` bytes each, one after the other out of `bytes`; the last one has what is
  /// left. Kernels that can (UDP_SEGMENT) are given up to 64 at once, which costs little more than one; else they are
  /// sent one by one. Failed, or cancelled while it waits: the first ones may have been sent.
  [[nodiscard]] auto send_to(std::span<const std::byte> bytes, const endpoint& peer,
                             std::size_t segment_size) noexcept {
    return detail::send_segments_operation(target(), bytes, segment_size, peer);
  }
  [[nodiscard]] auto send(std::span<const std::byte> bytes, std::size_t segment_size) noexcept {
    return detail::send_segments_operation(target(), bytes, segment_size);
  }

  /// As readable(), for room to send.
  [[nodiscard]] auto writable() noexcept { return detail::readiness_operation::writable(target()); }

  [[nodiscard]] endpoint local_endpoint() const;
  /// Whom it is connected to; none if it is not.
  [[nodiscard]] endpoint peer_endpoint() const noexcept { return target() ? target()->peer() : endpoint(); }

  /// Receives what is sent to `group`, a multicast address whose port does not matter, at the interface of that index
  /// (if_nametoindex(3)); 0: the kernel chooses. Bind to the group's port. Throws std::system_error.
  void join_group(const endpoint& group, unsigned interface_index = 0);
  void leave_group(const endpoint& group, unsigned interface_index = 0);
  /// Where multicast goes out; 0: the kernel chooses.
  void set_multicast_interface(unsigned index);
  /// Over how many routers it goes: 1, the kernel's choice, keeps it in this network.
  void set_multicast_hops(int hops);
  /// Whether this machine gets what it sends to a group itself. It does unless told.
  void set_multicast_loop(bool on);
  /// Whether receive() may complete with several datagrams at once that one sender has sent in a row: they fill the
  /// buffer one after the other, and datagram::segment_size tells where each ends. Make the buffer 64 KiB then: what is
  /// longer than it is cut. False when this kernel cannot (UDP_GRO), and in a simulation: they come one by one.
  bool set_coalescing(bool on);
  /// Allows sending to broadcast addresses.
  void set_broadcast(bool on);

  /// Takes over a bound or connected UDP socket, for example from systemd. It is made non-blocking.
  static udp_socket adopt(int number);

 private:
  explicit udp_socket(detail::descriptor_handle socket) noexcept : socket_base(std::move(socket)) {}
};

}  // namespace weir
