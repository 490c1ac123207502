#include "accept.hpp"

#include <sys/socket.h>

#include "../detail/ring_entry_impl.hpp"
#include "../detail/simulated_kernel.hpp"
#include "../tcp.hpp"

namespace weir::detail {

void accept_operation::prepare(ring_entry& entry) noexcept {
  peer_size_ = static_cast<std::uint32_t>(peer_.size());
  io_uring_prep_accept(raw(entry), fd(), reinterpret_cast<sockaddr*>(peer_.data()), &peer_size_, SOCK_CLOEXEC);
}

int accept_operation::attempt() noexcept {
  peer_size_ = static_cast<std::uint32_t>(peer_.size());
  const int accepted = ::accept4(fd(), reinterpret_cast<sockaddr*>(peer_.data()), &peer_size_, SOCK_CLOEXEC);
  return accepted < 0 ? -errno : accepted;
}

int accept_operation::simulate(simulated_kernel& kernel) noexcept {
  endpoint peer;
  const int accepted = kernel.sockets().accept(fd(), peer);
  peer_size_ = static_cast<std::uint32_t>(peer.to_native(peer_.data()));
  return accepted;
}

// What the network did to a connection that was still in the queue is not the listener's failure (accept(2)). EAGAIN:
// the ring gives up on a request that was woken 128 times while somebody else was faster.
bool accept_operation::try_again(int result) noexcept {
  switch (-result) {
    case EAGAIN:
    case ECONNABORTED:
    case ENETDOWN:
    case EPROTO:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case ENETUNREACH:
      return true;
    default:
      return false;
  }
}

tcp_stream accept_operation::value() {
  const std::size_t size = std::min<std::size_t>(peer_size_, peer_.size());
  return tcp_stream(descriptor_handle(descriptor::adopt(result(), endpoint::from_native(peer_.data(), size))));
}

}  // namespace weir::detail
