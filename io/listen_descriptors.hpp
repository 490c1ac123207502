#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tcp.hpp"
#include "udp.hpp"
#include "unique_descriptor.hpp"
#include "unix.hpp"
#include "unix_messages.hpp"

namespace weir {

/// A socket that whoever has started this process has opened for it. It is closed unless it is taken over.
///
/// Each take_ throws std::system_error when the socket is another kind, `adopt fd 3 ("http") as a TCP listener: it is a
/// UDP socket: Protocol wrong type for socket`, and leaves it where it is.
class listen_descriptor {
 public:
  listen_descriptor(std::string name, unique_descriptor socket) noexcept
      : name_(std::move(name)), socket_(std::move(socket)) {}

  /// FileDescriptorName= of the socket's unit, which is the unit's own name by default; "unknown" when no names came.
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  /// -1 once it was taken over.
  [[nodiscard]] int number() const noexcept { return socket_.number(); }

  [[nodiscard]] tcp_listener take_tcp_listener();
  /// A connection, of a unit with Accept=yes.
  [[nodiscard]] tcp_stream take_tcp_stream();
  [[nodiscard]] udp_socket take_udp_socket();
  [[nodiscard]] unix_listener take_unix_listener();
  [[nodiscard]] unix_seqpacket_listener take_unix_seqpacket_listener();
  [[nodiscard]] unix_datagram_socket take_unix_datagram_socket();
  /// What is none of these, such as a FIFO; or a socket, to be adopted in another way.
  [[nodiscard]] int release() noexcept { return socket_.release(); }

 private:
  void check(const char* wanted) const;

  std::string name_;
  unique_descriptor socket_;
};

/// What systemd, or another manager of services that keeps to sd_listen_fds(3), has opened for this process: the
/// descriptors from 3 on, as many as $LISTEN_FDS says, if $LISTEN_PID is this process, with the names of
/// $LISTEN_FDNAMES. None when it was started in another way, and in a simulation.
///
/// They are the caller's from now on: close-on-exec, and the three variables are removed, so that the processes which
/// this one starts do not take them for theirs, and a second call finds none. To be called before other threads use the
/// environment, at the beginning of main() or of the first task. Throws std::system_error (EINVAL, EBADF) when the
/// variables make no sense, "listen_descriptors: LISTEN_FDS is \"x\": Invalid argument", and changes nothing then.
[[nodiscard]] std::vector<listen_descriptor> listen_descriptors();

}  // namespace weir
