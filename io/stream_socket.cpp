#include "stream_socket.hpp"

#include <sys/socket.h>

#include <cerrno>

#include "detail/socket_options.hpp"
#include "detail/system_calls.hpp"

namespace weir {

void stream_socket::shutdown(direction which) {
  const detail::descriptor& socket = detail::open_socket(handle(), "shutdown");
  const int how = which == direction::read ? SHUT_RD : which == direction::write ? SHUT_WR : SHUT_RDWR;
  // Directly: through the ring it would cost a kernel thread. ENOTCONN: the peer was faster.
  const int result = detail::system_calls::shutdown(socket.number(), how);
  if (result != 0 && result != -ENOTCONN) detail::fail_socket(-result, "shutdown", socket.name());
}

}  // namespace weir
