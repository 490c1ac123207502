#include "send_unix.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <cerrno>

#include "../detail/simulated_kernel.hpp"
#include "../detail/system_calls.hpp"

namespace weir::detail {

int send_unix_operation::call() noexcept {
  if (!connected_ && !to_) return -EDESTADDRREQ;  // the kernel would send to whom the socket is connected
  sockaddr_storage address{};
  const auto size = connected_ ? socklen_t{0} : static_cast<socklen_t>(to_.to_native(&address));
  const auto* const to = connected_ ? nullptr : reinterpret_cast<const sockaddr*>(&address);
  return system_calls::outcome(::sendto(fd(), bytes_.data(), bytes_.size(), MSG_DONTWAIT | MSG_NOSIGNAL, to, size));
}

int send_unix_operation::call_simulated(simulated_kernel& kernel) noexcept {
  if (!connected_ && !to_) return -EDESTADDRREQ;
  return kernel.ask<simulated_socket_of<unix_endpoint>>(
      fd(), [&](auto& socket) { return socket.send_message(bytes_, connected_ ? nullptr : &to_); });
}

failure send_unix_operation::failed() {
  if (!has_failed()) return {};
  if (result() != -EAGAIN) return failure_of(verb);
  return {std::error_code(EAGAIN, std::generic_category()), fmt::format("{} {}: there is no room for it", verb, to_)};
}

}  // namespace weir::detail
