#include "send_unix.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <cerrno>

namespace weir::detail {

int send_unix_operation::call() noexcept {
  if (!connected_ && !to_) return -EDESTADDRREQ;  // the kernel would send to whom the socket is connected
  sockaddr_storage address{};
  const auto size = connected_ ? socklen_t{0} : static_cast<socklen_t>(to_.to_native(&address));
  const auto* const to = connected_ ? nullptr : reinterpret_cast<const sockaddr*>(&address);
  const ssize_t n = ::sendto(fd(), bytes_.data(), bytes_.size(), MSG_DONTWAIT | MSG_NOSIGNAL, to, size);
  return n < 0 ? -errno : static_cast<int>(n);
}

failure send_unix_operation::failed() {
  if (!has_failed()) return {};
  if (result() != -EAGAIN) return failure_of(verb);
  return {std::error_code(EAGAIN, std::generic_category()), fmt::format("{} {}: there is no room for it", verb, to_)};
}

}  // namespace weir::detail
