#pragma once

#include <cstddef>
#include <span>
#include <utility>

#include "../runtime/detail/config.hpp"
#include "detail/unix_socket.hpp"
#include "operations/accept.hpp"
#include "operations/connect_unix.hpp"
#include "operations/descriptors.hpp"
#include "stream_socket.hpp"
#include "unix_credentials.hpp"
#include "unix_endpoint.hpp"

namespace weir {

/// A connection between two processes of one machine that carries bytes: a stream_socket.
class unix_stream : public stream_socket {
 public:
  unix_stream() = default;

  /// Completes with a connected stream. It never waits: a listener whose queue is full, of which nothing tells when it
  /// has room again, is the error EAGAIN. Cancelled: nothing stays open. Allocates the stream's record.
  static detail::connect_unix_operation<unix_stream> connect(const unix_endpoint& peer) noexcept;
  /// Two that are connected, for two threads or processes: release() one and pass it on.
  static std::pair<unix_stream, unix_stream> pair();

  /// Writes all of `bytes`, at least one, and with the first of them descriptors, at most 253. The receiver gets
  /// descriptors of its own; these stay the caller's, and open until the operation has ended. Cancelled or failed:
  /// bytes_written() tells how much went; if that is anything, the descriptors did. Allocates a record. In a simulation
  /// no descriptors are passed on (ENOTSUP).
  [[nodiscard]] auto send_descriptors(std::span<const std::byte> bytes, std::span<const int> numbers) noexcept {
    return detail::send_descriptors_operation(target(), detail::io_use::writing, bytes, numbers);
  }
  /// Reads as read_some() does, and completes with the descriptors that came with these bytes, too, if any did; what
  /// came with different bytes does not come together. Fails with EMSGSIZE when there were more than `most`, and with
  /// EMFILE when the process may not have so many: then bytes_read() are in `into`, and all the descriptors are closed.
  /// Cancelled: nothing was taken. Allocates room for `most`, and the list.
  ///
  /// What reads otherwise drops the descriptors that came with what it reads; the kernel closes them.
  [[nodiscard]] auto receive_descriptors(std::span<std::byte> into, std::size_t most = 16) noexcept {
    return detail::receive_descriptors_operation(target(), detail::io_use::reading, into, most);
  }

  /// Mostly unnamed at the end that has connected.
  [[nodiscard]] unix_endpoint local_endpoint() const { return detail::local_unix_endpoint_of(handle()); }
  [[nodiscard]] unix_endpoint peer_endpoint() const { return detail::peer_unix_endpoint_of(handle()); }
  /// Who is at the other end. Of what adopt() was given, and the kernel knows nobody of: uid and gid are -1.
  [[nodiscard]] unix_credentials peer_credentials() const { return detail::peer_credentials_of(handle()); }

  /// Takes over a connected unix stream socket. It is made non-blocking, for all who have it.
  static unix_stream adopt(int number);

 private:
  friend class detail::accept_unix_operation<unix_stream>;
  friend class detail::connect_unix_operation<unix_stream>;
  explicit unix_stream(detail::descriptor_handle socket) noexcept : stream_socket(std::move(socket)) {}
};

struct unix_listen_options {
  /// How many connections the kernel keeps ready; it has an upper limit of its own (net.core.somaxconn).
  int backlog = 4096;
  /// Remove a socket's file that is in the way when no socket belongs to it any more, as a server leaves it that was
  /// killed. Of two servers that start at the same moment one may take the other's new file for such a one.
  bool replace_stale = false;
  /// Leave the file where it is when the listener closes.
  bool keep_file = false;
};
static_assert(detail::trivially_destructible<unix_listen_options>);

/// Accepts unix connections as `Socket`. Several tasks may accept at once. See unix_listener.
template <class Socket>
class basic_unix_listener : public socket_base {
 public:
  basic_unix_listener() = default;

  /// Binds and listens at once. Throws std::system_error: "bind /run/x.sock: Address already in use". Who may connect
  /// to a path is what its file's permissions say (the umask's), to an abstract name it is everybody. A path's file is
  /// removed when this listener closes, unless the path is another file's by then.
  static basic_unix_listener bind(const unix_endpoint& local, unix_listen_options options = {});

  /// Completes with the next connection. When the process has no descriptor left it fails with EMFILE, and would at
  /// once again: wait before the next try. Cancelled: a connection that had been accepted already is delivered.
  /// Allocates the descriptor's record only.
  [[nodiscard]] auto accept() noexcept { return detail::accept_unix_operation<Socket>(target()); }

  /// As socket_base::close(); before it removes the file.
  void close() noexcept {
    file_.remove();
    socket_base::close();
  }
  /// As socket_base::release(): the file stays.
  [[nodiscard]] int release() noexcept {
    file_.forget();
    return socket_base::release();
  }

  [[nodiscard]] unix_endpoint local_endpoint() const { return detail::local_unix_endpoint_of(handle()); }

  /// Takes over a listening socket, for example from systemd, whose file stays. It is made non-blocking, for all who
  /// have it, and has to stay so.
  static basic_unix_listener adopt(int number);

 private:
  explicit basic_unix_listener(detail::descriptor_handle socket, detail::socket_file file = {}) noexcept
      : socket_base(std::move(socket)), file_(std::move(file)) {}

  detail::socket_file file_;
};

/// Accepts unix_streams.
using unix_listener = basic_unix_listener<unix_stream>;
extern template class basic_unix_listener<unix_stream>;

}  // namespace weir
