#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>

#include "../unix_endpoint.hpp"

namespace weir::detail {

class simulated_kernel;
class simulated_unix_socket;

/// The unix sockets of a simulation, and their names. What is sent arrives at once, nothing is lost, and
/// simulated_network::latency has no part in it: slow is who does not read.
///
/// As on Linux: a listener's queue is full when more than `backlog` wait in it, and that of a datagram socket when more
/// than ten messages do; closing with data unread resets the connection; a socket's file stays when the socket has
/// gone. The files of sockets are not on the simulated disk, but no name is both.
class simulated_unix {
 public:
  explicit simulated_unix(simulated_kernel& kernel) noexcept : kernel_(kernel) {}

  /// The number of a new socket, and those of two that are connected.
  int make(int type);
  int make_pair(int type, std::array<int, 2>& numbers);

  /// 0, and which file it is; -ENOENT.
  int file_of(const unix_endpoint& path, std::uint64_t& inode) const;
  int remove_file(const unix_endpoint& path);

 private:
  friend class simulated_unix_socket;
  using socket = std::shared_ptr<simulated_unix_socket>;
  struct named {
    std::weak_ptr<simulated_unix_socket> owner;
    std::uint64_t inode;
  };

  int bind(const socket& at, const unix_endpoint& local);
  /// Whom `name` means to a socket of that type: 0, or -errno.
  int find(const unix_endpoint& name, int type, socket& found) const;

  simulated_kernel& kernel_;
  std::map<unix_endpoint, named> names_;
  std::uint64_t last_inode_ = 0;
  std::uint32_t last_name_ = 0;  // of those that are picked
};

}  // namespace weir::detail
