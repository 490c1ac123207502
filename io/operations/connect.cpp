#include "connect.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "../detail/ring_entry_impl.hpp"
#include "../detail/simulated_kernel.hpp"
#include "../detail/system_calls.hpp"
#include "../tcp.hpp"

namespace weir::detail {

bool connect_operation::ready(const await_context& context) noexcept {
  if (context.env->is_stopped()) return false;
  if (!peer_) {  // the kernel would take it for a wish to disconnect, and grant it
    set_result(-EDESTADDRREQ);
    return true;
  }
  const int number = system_calls::make_stream_socket(peer_.is_v6());
  if (number < 0) {
    set_result(number);
    return true;
  }
  socket_ = descriptor_handle(descriptor::try_adopt(number, peer_));
  if (!socket_) {
    set_result(-ENOMEM);
    return true;
  }
  const int on = 1;
  static_cast<void>(system_calls::set_socket_option(number, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
  address_size_ = static_cast<std::uint32_t>(peer_.to_native(address_.data()));
  set_target(socket_.get());
  return try_io(context);
}

void connect_operation::prepare(ring_entry& entry) noexcept {
  io_uring_prep_connect(raw(entry), fd(), reinterpret_cast<const sockaddr*>(address_.data()), address_size_);
}

int connect_operation::attempt() noexcept {
  if (!begun_) {
    begun_ = true;
    if (::connect(fd(), reinterpret_cast<const sockaddr*>(address_.data()), address_size_) == 0) return 0;
    if (errno == EINPROGRESS) return -EAGAIN;
    // The kernel is out of room for routes (connect(2)), and nothing is under way that could be waited for.
    return errno == EAGAIN ? -ENOBUFS : -errno;
  }
  // Writable, or a false alarm: SO_ERROR is also 0 while the handshake is under way, but then there is no peer yet.
  int error = 0;
  socklen_t size = sizeof error;
  if (::getsockopt(fd(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) return -errno;
  if (error != 0) return -error;
  sockaddr_storage peer{};
  size = sizeof peer;
  if (::getpeername(fd(), reinterpret_cast<sockaddr*>(&peer), &size) != 0) return -EAGAIN;
  return 0;
}

int connect_operation::simulate(simulated_kernel& kernel) noexcept {
  return kernel.ask<simulated_socket_of<endpoint>>(fd(), [&](auto& socket) { return socket.connect(peer_); });
}

tcp_stream connect_operation::value() { return tcp_stream(std::move(socket_)); }

}  // namespace weir::detail
