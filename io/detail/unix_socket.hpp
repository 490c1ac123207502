#pragma once

#include <cstdint>
#include <utility>

#include "../../runtime/detail/take.hpp"
#include "../unix_credentials.hpp"
#include "../unix_endpoint.hpp"
#include "descriptor.hpp"

/// What unix sockets of all kinds do beside their operations. Each throws std::system_error with "verb object". `type`
/// is SOCK_STREAM, SOCK_DGRAM or SOCK_SEQPACKET.
namespace weir::detail {

/// The file that a bound socket has made: removes it, unless the path is another file's by then.
class socket_file {
 public:
  socket_file() = default;
  /// That of the socket which has just been bound.
  socket_file(int number, const unix_endpoint& bound) noexcept;
  socket_file(socket_file&& other) noexcept { swap(other); }
  socket_file& operator=(socket_file&& other) noexcept {
    socket_file old(std::move(*this));
    swap(other);
    return *this;
  }
  ~socket_file() { remove(); }

  void remove() noexcept;
  void forget() noexcept { path_ = {}; }

 private:
  void swap(socket_file& other) noexcept {
    detail::trade(path_, other.path_);
    detail::trade(device_, other.device_);
    detail::trade(inode_, other.inode_);
    detail::trade(number_, other.number_);
  }

  unix_endpoint path_;  // none: there is no file, or it is to stay
  std::uint64_t device_ = 0;
  std::uint64_t inode_ = 0;
  int number_ = -1;  // the socket's: it tells whether this is in a simulation
};

struct bound_unix_socket {
  descriptor_handle socket;
  socket_file file;
};
/// `replace_stale`: a socket file to which no socket belongs any more is removed first. `keep_file`: for ever.
bound_unix_socket bind_unix(int type, const unix_endpoint& local, bool replace_stale, bool keep_file);

/// Bound, too, so that it can be answered.
descriptor_handle connect_unix_datagrams(const unix_endpoint& peer);
std::pair<descriptor_handle, descriptor_handle> make_unix_pair(int type);

/// Takes over a unix socket of that type, and makes it non-blocking. `what`: "a unix stream".
descriptor_handle adopt_unix(int number, int type, const char* what);
descriptor_handle adopt_unix_listener(int number, int type);
void listen_unix(const descriptor_handle& bound, int backlog);

unix_endpoint local_unix_endpoint_of(const descriptor_handle& socket);
unix_endpoint peer_unix_endpoint_of(const descriptor_handle& socket);
unix_credentials peer_credentials_of(const descriptor_handle& socket);

}  // namespace weir::detail
