#include "unix_messages.hpp"

#include <sys/socket.h>

namespace weir {

// ---- unix_datagram_socket

unix_datagram_socket unix_datagram_socket::bind(const unix_endpoint& local, unix_bind_options options) {
  detail::bound_unix_socket bound = detail::bind_unix(SOCK_DGRAM, local, options.replace_stale, options.keep_file);
  return unix_datagram_socket(std::move(bound.socket), std::move(bound.file));
}

unix_datagram_socket unix_datagram_socket::connect(const unix_endpoint& peer) {
  return unix_datagram_socket(detail::connect_unix_datagrams(peer));
}

std::pair<unix_datagram_socket, unix_datagram_socket> unix_datagram_socket::pair() {
  auto [one, other] = detail::make_unix_pair(SOCK_DGRAM);
  return {unix_datagram_socket(std::move(one)), unix_datagram_socket(std::move(other))};
}

unix_datagram_socket unix_datagram_socket::adopt(int number) {
  return unix_datagram_socket(detail::adopt_unix(number, SOCK_DGRAM, "a unix datagram socket"));
}

// ---- unix_seqpacket

detail::connect_unix_operation<unix_seqpacket> unix_seqpacket::connect(const unix_endpoint& peer) noexcept {
  return {SOCK_SEQPACKET, peer};
}

std::pair<unix_seqpacket, unix_seqpacket> unix_seqpacket::pair() {
  auto [one, other] = detail::make_unix_pair(SOCK_SEQPACKET);
  return {unix_seqpacket(std::move(one)), unix_seqpacket(std::move(other))};
}

unix_seqpacket unix_seqpacket::adopt(int number) {
  return unix_seqpacket(detail::adopt_unix(number, SOCK_SEQPACKET, "a unix seqpacket"));
}

}  // namespace weir
