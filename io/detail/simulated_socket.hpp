#pragma once

#include <cerrno>
#include <cstddef>
#include <span>

#include "../endpoint.hpp"
#include "simulated_object.hpp"

namespace weir::detail {

/// A socket of a simulation, as system calls see it. Each of them returns what the system call returns, or -errno;
/// -EAGAIN for what has to wait. What a kind of sockets does not have is refused.
class simulated_socket : public simulated_object {
 public:
  /// SOCK_STREAM, ...
  [[nodiscard]] virtual int type() const noexcept = 0;
  [[nodiscard]] virtual bool is_connected() const noexcept = 0;
  [[nodiscard]] virtual bool is_listening() const noexcept { return false; }

  virtual int set_option(int level, int option, const void* value, unsigned size) = 0;
  virtual int listen(int /*backlog*/) { return -EOPNOTSUPP; }
  virtual int shutdown(int how) = 0;

  /// The number of a connection that has come; and its other end, if that has an address of the network.
  virtual int accept(endpoint& /*peer*/) { return -EOPNOTSUPP; }
  /// The bytes of a connection.
  virtual int receive(std::span<std::byte> /*into*/) { return -EOPNOTSUPP; }
  virtual int send(std::span<const std::byte> /*from*/) { return -EOPNOTSUPP; }
};

/// One whose names are `Endpoint`s.
template <class Endpoint>
class simulated_socket_of : public simulated_socket {
 public:
  virtual int bind(const Endpoint& local) = 0;
  /// Of TCP it begins at the first call; 0 once it is connected.
  virtual int connect(const Endpoint& peer) = 0;
  virtual int local_name(Endpoint& name) = 0;
  virtual int peer_name(Endpoint& name) = 0;

  /// A message: its whole length, and its sender.
  virtual int receive_message(std::span<std::byte> /*into*/, Endpoint& /*from*/) { return -EOPNOTSUPP; }
  /// `to` is null for whom it is connected to.
  virtual int send_message(std::span<const std::byte> /*from*/, const Endpoint* /*to*/) { return -EOPNOTSUPP; }
};

}  // namespace weir::detail
