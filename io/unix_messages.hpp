#pragma once

#include <cstddef>
#include <span>
#include <utility>

#include "../runtime/detail/config.hpp"
#include "detail/unix_socket.hpp"
#include "operations/connect_unix.hpp"
#include "operations/datagram.hpp"
#include "operations/descriptors.hpp"
#include "operations/send_unix.hpp"
#include "socket_base.hpp"
#include "unix.hpp"

namespace weir {

struct unix_bind_options {
  /// As those of unix_listen_options.
  bool replace_stale = false;
  bool keep_file = false;
};
static_assert(detail::trivially_destructible<unix_bind_options>);

/// What unix sockets that carry messages have in common. Nothing is lost on the way, and everything comes in order. Any
/// number of tasks may receive and send at the same time: each message is received once. Buffers must live until the
/// operation has ended. A message may be as long as the sender's buffer, some 200 KiB unless set_send_buffer() was
/// told otherwise: EMSGSIZE.
class unix_message_socket : public socket_base {
 public:
  /// Sends one message to whom it is connected; waits while the kernel, or the receiver's queue, has no room for it.
  /// Cancelled while it waits: it was not sent. Allocates nothing.
  [[nodiscard]] auto send(std::span<const std::byte> bytes) noexcept {
    return detail::send_unix_operation(target(), bytes);
  }
  /// As readable(), for room to send.
  [[nodiscard]] auto writable() noexcept { return detail::readiness_operation::writable(target()); }

  /// As send(), and receive(), with descriptors: see unix_stream::send_descriptors.
  [[nodiscard]] auto send_descriptors(std::span<const std::byte> bytes, std::span<const int> numbers) noexcept {
    return detail::send_descriptors_operation(target(), detail::io_use::other, bytes, numbers);
  }
  [[nodiscard]] auto receive_descriptors(std::span<std::byte> into, std::size_t most = 16) noexcept {
    return detail::receive_descriptors_operation(target(), detail::io_use::receiving, into, most);
  }

  [[nodiscard]] unix_endpoint local_endpoint() const { return detail::local_unix_endpoint_of(handle()); }
  /// Whom it is connected to; unnamed if that is not bound, or if it is not connected.
  [[nodiscard]] unix_endpoint peer_endpoint() const { return detail::peer_unix_endpoint_of(handle()); }

 protected:
  unix_message_socket() = default;
  explicit unix_message_socket(detail::descriptor_handle socket) noexcept : socket_base(std::move(socket)) {}
  unix_message_socket(unix_message_socket&&) = default;
  unix_message_socket& operator=(unix_message_socket&&) = default;
  ~unix_message_socket() = default;
};

/// A unix socket for messages from and to many others (SOCK_DGRAM), as daemons have for logs and notifications.
class unix_datagram_socket : public unix_message_socket {
 public:
  unix_datagram_socket() = default;

  /// Binds at once. Throws std::system_error: "bind /run/x.sock: Address already in use". Permissions and the path's
  /// file are as for unix_listener.
  static unix_datagram_socket bind(const unix_endpoint& local, unix_bind_options options = {});
  /// A socket that talks with `peer` only, and has an abstract name that the kernel picks, so that it can be answered.
  static unix_datagram_socket connect(const unix_endpoint& peer);
  /// Two that are connected.
  static std::pair<unix_datagram_socket, unix_datagram_socket> pair();

  /// Completes with the next message, its first part if `into` is shorter. Cancelled: no message is lost; one that had
  /// been taken is delivered. Allocates nothing.
  [[nodiscard]] auto receive(std::span<std::byte> into) noexcept {
    return detail::receive_datagram_operation<unix_endpoint>(target(), into);
  }
  /// Sends one message to `peer`. It never waits: where there is no room for it, of which nothing would tell when there
  /// is some again, it fails with EAGAIN. A connected socket can wait, in send(). Allocates nothing.
  [[nodiscard]] auto send_to(std::span<const std::byte> bytes, const unix_endpoint& peer) noexcept {
    return detail::send_unix_operation(target(), bytes, peer);
  }

  /// As those of unix_listener.
  void close() noexcept {
    file_.remove();
    socket_base::close();
  }
  [[nodiscard]] int release() noexcept {
    file_.forget();
    return socket_base::release();
  }
  /// Takes over a unix datagram socket. It is made non-blocking, for all who have it.
  static unix_datagram_socket adopt(int number);

 private:
  explicit unix_datagram_socket(detail::descriptor_handle socket, detail::socket_file file = {}) noexcept
      : unix_message_socket(std::move(socket)), file_(std::move(file)) {}

  detail::socket_file file_;
};

/// A unix connection that carries messages (SOCK_SEQPACKET).
class unix_seqpacket : public unix_message_socket {
 public:
  unix_seqpacket() = default;

  /// As unix_stream::connect.
  static detail::connect_unix_operation<unix_seqpacket> connect(const unix_endpoint& peer) noexcept;
  /// Two that are connected.
  static std::pair<unix_seqpacket, unix_seqpacket> pair();

  /// Completes with the next message, its first part if `into` is shorter; with nothing at the end. The kernel does not
  /// tell an empty message from the end: do not send one. Cancelled: no message is lost; one that had been taken is
  /// delivered. Allocates nothing.
  [[nodiscard]] auto receive(std::span<std::byte> into) noexcept {
    return detail::receive_packet_operation(target(), into);
  }

  /// As unix_stream's.
  [[nodiscard]] unix_credentials peer_credentials() const { return detail::peer_credentials_of(handle()); }
  static unix_seqpacket adopt(int number);

 private:
  friend class detail::accept_unix_operation<unix_seqpacket>;
  friend class detail::connect_unix_operation<unix_seqpacket>;
  explicit unix_seqpacket(detail::descriptor_handle socket) noexcept : unix_message_socket(std::move(socket)) {}
};

/// Accepts unix_seqpackets.
using unix_seqpacket_listener = basic_unix_listener<unix_seqpacket>;
extern template class basic_unix_listener<unix_seqpacket>;

}  // namespace weir
