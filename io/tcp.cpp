#include "tcp.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>

#include "detail/socket_options.hpp"
#include "detail/system_calls.hpp"

namespace weir {

namespace calls = detail::system_calls;

// ---- tcp_stream

void tcp_stream::shutdown(direction which) {
  const detail::descriptor& target = detail::open_socket(socket_, "shutdown");
  const int how = which == direction::read ? SHUT_RD : which == direction::write ? SHUT_WR : SHUT_RDWR;
  // Directly: through the ring it would cost a kernel thread. ENOTCONN: the peer was faster.
  const int result = calls::shutdown(target.number(), how);
  if (result != 0 && result != -ENOTCONN) detail::fail_socket(-result, "shutdown", target.name());
}

endpoint tcp_stream::local_endpoint() const { return detail::local_endpoint_of(socket_); }

void tcp_stream::set_no_delay(bool on) {
  detail::set_socket_option(socket_, IPPROTO_TCP, TCP_NODELAY, static_cast<int>(on), "set_no_delay of");
}
void tcp_stream::set_keep_alive(bool on) {
  detail::set_socket_option(socket_, SOL_SOCKET, SO_KEEPALIVE, static_cast<int>(on), "set_keep_alive of");
}
void tcp_stream::set_linger(std::chrono::seconds time) {
  const linger value{.l_onoff = 1, .l_linger = static_cast<int>(time.count())};
  detail::set_socket_option(socket_, SOL_SOCKET, SO_LINGER, value, "set_linger of");
}
void tcp_stream::set_receive_buffer(int bytes) {
  detail::set_socket_option(socket_, SOL_SOCKET, SO_RCVBUF, bytes, "set_receive_buffer of");
}
void tcp_stream::set_send_buffer(int bytes) {
  detail::set_socket_option(socket_, SOL_SOCKET, SO_SNDBUF, bytes, "set_send_buffer of");
}

tcp_stream tcp_stream::adopt(int number) {
  endpoint peer;
  const int result = calls::peer_name(number, peer);
  if (result != 0) detail::fail_socket(-result, "adopt", fmt::format("fd {} as a TCP stream", number));
  return tcp_stream(detail::descriptor_handle(detail::descriptor::adopt(number, peer)));
}

// ---- tcp_listener

tcp_listener tcp_listener::bind(const endpoint& local, listen_options options) {
  if (!local) detail::fail_socket(EADDRNOTAVAIL, "bind", local.to_string());  // the kernel would take it for 0.0.0.0:0
  const int number = calls::make_stream_socket(local.is_v6());
  if (number < 0) detail::fail_socket(-number, "bind", local.to_string());
  tcp_listener made(detail::descriptor_handle(
      detail::descriptor::adopt(number, detail::descriptor::kind::socket, local.to_string())));
  detail::set_socket_option(made.socket_, SOL_SOCKET, SO_REUSEADDR, static_cast<int>(options.reuse_address), "bind");
  detail::set_socket_option(made.socket_, SOL_SOCKET, SO_REUSEPORT, static_cast<int>(options.reuse_port), "bind");
  detail::set_socket_option(made.socket_, IPPROTO_TCP, TCP_NODELAY, 1,
                            "bind");  // for those it accepts: they inherit it
  if (const int result = calls::bind(number, local); result != 0)
    detail::fail_socket(-result, "bind", local.to_string());
  if (const int result = calls::listen(number, options.backlog); result != 0) {
    detail::fail_socket(-result, "listen", local.to_string());
  }
  return local.port() == 0 ? adopt(made.release()) : std::move(made);  // now that its port has a name
}

endpoint tcp_listener::local_endpoint() const { return detail::local_endpoint_of(socket_); }

tcp_listener tcp_listener::adopt(int number) {
  const int listening = calls::is_listening(number);
  if (listening == 0)
    detail::fail_socket(EINVAL, "adopt", fmt::format("fd {} as a listener (it does not listen)", number));
  const int result = listening < 0 ? listening : calls::make_non_blocking(number);
  if (result < 0) detail::fail_socket(-result, "adopt", fmt::format("fd {} as a listener", number));
  return tcp_listener(detail::adopt_bound(number));
}

}  // namespace weir
