#pragma once

#include <chrono>
#include <cstddef>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include "detail/descriptor.hpp"
#include "endpoint.hpp"
#include "operations/accept.hpp"
#include "operations/connect.hpp"
#include "operations/poll.hpp"
#include "operations/receive.hpp"
#include "operations/send.hpp"

namespace weir {

/// Which way of a stream.
enum class direction : std::uint8_t { read, write, both };

/// A TCP connection. Move-only; the destructor closes it. One task may read and one may write at the same time; a
/// second reader or writer is told (EBUSY). Buffers must live until the operation has ended.
///
/// Errors are std::system_error with a sentence such as "read 127.0.0.1:80: Connection reset by peer". Operations
/// allocate nothing. TCP_NODELAY is on.
class tcp_stream {
 public:
  tcp_stream() = default;

  /// Completes with a connected stream. Cancelled: the half-made connection is closed. O(1).
  static detail::connect_operation connect(const endpoint& peer) noexcept { return detail::connect_operation(peer); }

  /// Completes with the number of bytes read: at least one, or 0 at the end of the stream (or for an empty buffer).
  /// Cancelled: no byte that was taken from the socket is lost; if some had arrived they are delivered.
  [[nodiscard]] auto read_some(std::span<std::byte> into) noexcept {
    return detail::receive_operation(socket_.get(), into);
  }
  /// Fills `into`. weir::errc::end_of_stream when the stream ends before. Cancelled: bytes_read() tells how much of
  /// `into` was filled.
  [[nodiscard]] auto read_exactly(std::span<std::byte> into) noexcept {
    return detail::receive_exactly_operation(socket_.get(), into);
  }
  /// Completes with the number of bytes that the kernel took, at least one (0 for an empty buffer).
  [[nodiscard]] auto write_some(std::span<const std::byte> from) noexcept {
    return detail::send_operation(socket_.get(), from);
  }
  /// Writes all of `from`. Cancelled or failed: bytes_written() tells how much went.
  [[nodiscard]] auto write_all(std::span<const std::byte> from) noexcept {
    return detail::send_all_operation(socket_.get(), from);
  }

  /// Completes when there is something to read: bytes, the end of the stream, or an error, which the next read then
  /// finds without waiting. Takes nothing. Any number of tasks may wait, beside a reader too. Cancelled: stops.
  /// Selectable, unlike a read.
  [[nodiscard]] auto readable() noexcept { return detail::readiness_operation::readable(socket_.get()); }
  /// The same for writes: the kernel has room, or an error to tell.
  [[nodiscard]] auto writable() noexcept { return detail::readiness_operation::writable(socket_.get()); }

  /// What the latest read or write moved, also when it failed or was stopped.
  [[nodiscard]] std::size_t bytes_read() const noexcept { return socket_ ? socket_.get()->bytes_read() : 0; }
  [[nodiscard]] std::size_t bytes_written() const noexcept { return socket_ ? socket_.get()->bytes_written() : 0; }

  /// Ends one way or both: the peer reads end of stream. A read that waits here gets end of stream. Does not close.
  void shutdown(direction which);
  /// Cancels what is in flight (it fails with std::errc::operation_canceled), tells the peer, closes. Idempotent.
  void close() noexcept { socket_.reset(); }
  [[nodiscard]] bool is_open() const noexcept { return static_cast<bool>(socket_); }

  [[nodiscard]] endpoint local_endpoint() const;
  /// The other end, as it was when connected.
  [[nodiscard]] endpoint peer_endpoint() const noexcept { return socket_ ? socket_.get()->peer() : endpoint(); }

  /// What error sentences call it: "127.0.0.1:80", the peer.
  [[nodiscard]] std::string name() const { return socket_ ? socket_.get()->name() : "a closed socket"; }

  void set_no_delay(bool on);
  void set_keep_alive(bool on);
  /// How long close() lets the kernel try to deliver what was written; zero resets the connection instead.
  void set_linger(std::chrono::seconds time);
  void set_receive_buffer(int bytes);
  void set_send_buffer(int bytes);

  /// The descriptor, lent: it stays owned by this object.
  [[nodiscard]] int native_handle() const noexcept { return socket_.number(); }
  /// The descriptor, given away. Nothing may be in flight.
  [[nodiscard]] int release() noexcept { return socket_.release(); }
  /// Takes over a connected socket.
  static tcp_stream adopt(int number);

 private:
  friend class detail::accept_operation;
  friend class detail::connect_operation;
  explicit tcp_stream(detail::descriptor_handle socket) noexcept : socket_(std::move(socket)) {}

  detail::descriptor_handle socket_;
};

struct listen_options {
  /// How many connections the kernel keeps ready; it has an upper limit of its own (net.core.somaxconn).
  int backlog = 4096;
  /// Bind although old connections to the port linger in TIME_WAIT.
  bool reuse_address = true;
  /// Share the port with other listeners that say so too; the kernel spreads connections over them.
  bool reuse_port = false;
};
static_assert(std::is_trivially_destructible_v<listen_options>);

/// Accepts TCP connections. Move-only; the destructor closes it. Several tasks may accept at once.
class tcp_listener {
 public:
  tcp_listener() = default;

  /// Binds and listens at once. Throws std::system_error: "bind 127.0.0.1:80: Address already in use". Port 0 picks a
  /// free one: see local_endpoint().
  static tcp_listener bind(const endpoint& local, listen_options options = {});

  /// Completes with the next connection. Connections that died in the queue are skipped. When the process has no
  /// descriptor left it fails with EMFILE, and would at once again: wait before the next try. Cancelled: a connection
  /// that had been accepted already is delivered. Allocates the descriptor's record only.
  [[nodiscard]] auto accept() noexcept { return detail::accept_operation(socket_.get()); }
  /// Completes when there is a connection to accept, and leaves it there; another task may be faster to accept it.
  /// Cancelled: stops. Selectable.
  [[nodiscard]] auto readable() noexcept { return detail::readiness_operation::readable(socket_.get()); }

  /// Cancels waiting accepts (they fail with std::errc::operation_canceled) and closes. Idempotent.
  void close() noexcept { socket_.reset(); }
  [[nodiscard]] bool is_open() const noexcept { return static_cast<bool>(socket_); }
  [[nodiscard]] endpoint local_endpoint() const;

  [[nodiscard]] int native_handle() const noexcept { return socket_.number(); }
  [[nodiscard]] int release() noexcept { return socket_.release(); }
  /// Takes over a listening socket, for example from systemd. It is made non-blocking.
  static tcp_listener adopt(int number);

 private:
  explicit tcp_listener(detail::descriptor_handle socket) noexcept : socket_(std::move(socket)) {}

  detail::descriptor_handle socket_;
};

}  // namespace weir
