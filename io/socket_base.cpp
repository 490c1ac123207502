#include "socket_base.hpp"

#include <sys/socket.h>

#include "detail/socket_options.hpp"

namespace weir {

void socket_base::set_receive_buffer(int bytes) {
  detail::set_socket_option(socket_, SOL_SOCKET, SO_RCVBUF, bytes, "set_receive_buffer of");
}
void socket_base::set_send_buffer(int bytes) {
  detail::set_socket_option(socket_, SOL_SOCKET, SO_SNDBUF, bytes, "set_send_buffer of");
}

}  // namespace weir
