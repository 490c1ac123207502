#include "accept.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "../detail/simulated_kernel.hpp"
#include "../detail/system_calls.hpp"
#include "../tcp.hpp"

namespace weir::detail {

int accept_leaf::attempt() noexcept {
  peer_size_ = static_cast<std::uint32_t>(peer_.size());
  const int accepted =
      system_calls::outcome(::accept4(fd(), reinterpret_cast<sockaddr*>(peer_.data()), &peer_size_, SOCK_CLOEXEC));
  if (accepted < 0) target()->burst().was_not_there();
  return accepted;
}

bool accept_leaf::goes_on(int) noexcept {
  if (was_watched()) {
    target()->burst().came_by_ring();
  } else {
    target()->burst().was_there();
  }
  return false;
}

int accept_leaf::simulate(simulated_kernel& kernel) noexcept {
  endpoint peer;
  const int accepted = kernel.ask(fd(), [&](auto& socket) { return socket.accept(peer); });
  peer_size_ = static_cast<std::uint32_t>(peer.to_native(peer_.data()));
  return accepted;
}

// What the network did to a connection that was still in the queue is not the listener's failure (accept(2)).
bool accept_leaf::try_again(int result) noexcept {
  switch (-result) {
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

endpoint accept_leaf::peer() const noexcept {
  return endpoint::from_native(peer_.data(), std::min<std::size_t>(peer_size_, peer_.size()));
}

tcp_stream accept_operation::value() { return tcp_stream(descriptor_handle(descriptor::adopt(result(), peer()))); }

}  // namespace weir::detail
