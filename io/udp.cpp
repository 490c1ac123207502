#include "udp.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include <cerrno>
#include <string>

#include "detail/socket_options.hpp"
#include "detail/system_calls.hpp"

namespace weir {

namespace {

namespace calls = detail::system_calls;

/// Sets the option of IPv4, or its counterpart of IPv6.
template <class T4, class T6>
void set_multicast_option(const detail::descriptor_handle& socket, int option_v4, const T4& value_v4, int option_v6,
                          const T6& value_v6, const char* verb) {
  const detail::descriptor& target = detail::open_socket(socket, verb);
  if (detail::local_endpoint_of(target.number(), target.name()).is_v6()) {
    detail::set_socket_option(socket, IPPROTO_IPV6, option_v6, value_v6, verb);
  } else {
    detail::set_socket_option(socket, IPPROTO_IP, option_v4, value_v4, verb);
  }
}

void change_group(const detail::descriptor_handle& socket, int option, const endpoint& group, unsigned interface_index,
                  const char* verb) {
  const detail::descriptor& target = detail::open_socket(socket, verb);
  group_req request{};
  request.gr_interface = interface_index;
  group.to_native(&request.gr_group);
  const int level = group.is_v6() ? IPPROTO_IPV6 : IPPROTO_IP;
  const int result = calls::set_socket_option(target.number(), level, option, &request, sizeof request);
  if (result != 0) detail::fail_socket(-result, verb, fmt::format("{} at {}", group, target.name()));
}

}  // namespace

udp_socket udp_socket::bind(const endpoint& local, udp_options options) {
  udp_socket made(detail::bind_socket(calls::make_datagram_socket, local, options.reuse_address, options.reuse_port));
  return local.port() == 0 ? adopt(made.release()) : std::move(made);  // now that its port has a name
}

udp_socket udp_socket::connect(const endpoint& peer) {
  if (!peer) detail::fail_socket(EDESTADDRREQ, "connect", peer.to_string());
  const int number = calls::make_datagram_socket(peer.is_v6());
  if (number < 0) detail::fail_socket(-number, "connect", peer.to_string());
  udp_socket made(detail::descriptor_handle(detail::descriptor::adopt(number, peer)));
  if (const int result = calls::connect_datagrams(number, peer); result != 0) {
    detail::fail_socket(-result, "connect", peer.to_string());
  }
  return made;
}

udp_socket udp_socket::adopt(int number) {
  detail::check_network_socket(number, SOCK_DGRAM, "a UDP socket");
  const int result = calls::make_non_blocking(number);
  if (result < 0) detail::fail_socket(-result, "adopt", fmt::format("fd {} as a UDP socket", number));
  endpoint peer;
  detail::descriptor_handle adopted = calls::peer_name(number, peer) == 0
                                          ? detail::descriptor_handle(detail::descriptor::adopt(number, peer))
                                          : detail::adopt_bound(number);
  adopted.get()->set_coalesces(calls::is_coalescing(number));
  return udp_socket(std::move(adopted));
}

endpoint udp_socket::local_endpoint() const { return detail::local_endpoint_of(handle()); }

void udp_socket::join_group(const endpoint& group, unsigned interface_index) {
  change_group(handle(), MCAST_JOIN_GROUP, group, interface_index, "join_group");
}
void udp_socket::leave_group(const endpoint& group, unsigned interface_index) {
  change_group(handle(), MCAST_LEAVE_GROUP, group, interface_index, "leave_group");
}
void udp_socket::set_multicast_interface(unsigned index) {
  ip_mreqn v4{};
  v4.imr_ifindex = static_cast<int>(index);
  set_multicast_option(handle(), IP_MULTICAST_IF, v4, IPV6_MULTICAST_IF, static_cast<int>(index),
                       "set_multicast_interface of");
}
void udp_socket::set_multicast_hops(int hops) {
  set_multicast_option(handle(), IP_MULTICAST_TTL, hops, IPV6_MULTICAST_HOPS, hops, "set_multicast_hops of");
}
void udp_socket::set_multicast_loop(bool on) {
  const int value = static_cast<int>(on);
  set_multicast_option(handle(), IP_MULTICAST_LOOP, value, IPV6_MULTICAST_LOOP, value, "set_multicast_loop of");
}
bool udp_socket::set_coalescing(bool on) {
  detail::descriptor& target = detail::open_socket(handle(), "set_coalescing of");
  // Told before the kernel does it and after it has stopped: who receives meanwhile is asked for control data.
  if (on) target.set_coalesces(true);
  const int value = static_cast<int>(on);
  const int result = calls::set_socket_option(target.number(), IPPROTO_UDP, UDP_GRO, &value, sizeof value);
  if (result == -ENOPROTOOPT) return false;
  if (result != 0) detail::fail_socket(-result, "set_coalescing of", target.name());
  if (!on) target.set_coalesces(false);
  return true;
}
void udp_socket::set_broadcast(bool on) {
  detail::set_socket_option(handle(), SOL_SOCKET, SO_BROADCAST, static_cast<int>(on), "set_broadcast of");
}

}  // namespace weir
