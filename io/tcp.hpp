#pragma once

#include <utility>

#include "../runtime/detail/config.hpp"
#include "../runtime/detail/light_std.hpp"
#include "detail/descriptor.hpp"
#include "endpoint.hpp"
#include "operations/accept.hpp"
#include "operations/connect.hpp"
#include "socket_base.hpp"
#include "stream_socket.hpp"

namespace weir {

/// A TCP connection: a stream_socket with TCP_NODELAY on.
class tcp_stream : public stream_socket {
 public:
  tcp_stream() = default;

  /// Completes with a connected stream. Cancelled: the half-made connection is closed. O(1).
  static detail::connect_operation connect(const endpoint& peer) noexcept { return detail::connect_operation(peer); }

  [[nodiscard]] endpoint local_endpoint() const;
  /// The other end, as it was when connected.
  [[nodiscard]] endpoint peer_endpoint() const noexcept { return target() ? target()->peer() : endpoint(); }

  void set_no_delay(bool on);
  void set_keep_alive(bool on);
  /// How long close() lets the kernel try to deliver what was written; zero resets the connection instead.
  void set_linger(std::chrono::seconds time);

  /// Takes over a connected socket.
  static tcp_stream adopt(int number);

 private:
  friend class detail::accept_operation;
  friend class detail::connect_operation;
  explicit tcp_stream(detail::descriptor_handle socket) noexcept : stream_socket(std::move(socket)) {}
};

struct listen_options {
  /// How many connections the kernel keeps ready; it has an upper limit of its own (net.core.somaxconn).
  int backlog = 4096;
  /// Bind although old connections to the port linger in TIME_WAIT.
  bool reuse_address = true;
  /// Share the port with other listeners that say so too; the kernel spreads connections over them.
  bool reuse_port = false;
};
static_assert(detail::trivially_destructible<listen_options>);

/// Accepts TCP connections. Several tasks may accept at once.
class tcp_listener : public socket_base {
 public:
  tcp_listener() = default;

  /// Binds and listens at once. Throws std::system_error: "bind 127.0.0.1:80: Address already in use". Port 0 picks a
  /// free one: see local_endpoint().
  static tcp_listener bind(const endpoint& local, listen_options options = {});

  /// Completes with the next connection. Connections that died in the queue are skipped. When the process has no
  /// descriptor left it fails with EMFILE, and would at once again: wait before the next try. Cancelled: a connection
  /// that had been accepted already is delivered. Allocates the descriptor's record only.
  [[nodiscard]] auto accept() noexcept { return detail::accept_operation(target()); }

  [[nodiscard]] endpoint local_endpoint() const;

  /// Takes over a listening socket, for example from systemd. It is made non-blocking, for all who have it, and has to
  /// stay so.
  static tcp_listener adopt(int number);

 private:
  explicit tcp_listener(detail::descriptor_handle socket) noexcept : socket_base(std::move(socket)) {}
};

}  // namespace weir
