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

endpoint tcp_stream::local_endpoint() const { return detail::local_endpoint_of(handle()); }

void tcp_stream::set_no_delay(bool on) {
  detail::set_socket_option(handle(), IPPROTO_TCP, TCP_NODELAY, static_cast<int>(on), "set_no_delay of");
}
void tcp_stream::set_keep_alive(bool on) {
  detail::set_socket_option(handle(), SOL_SOCKET, SO_KEEPALIVE, static_cast<int>(on), "set_keep_alive of");
}
void tcp_stream::set_linger(std::chrono::seconds time) {
  const linger value{.l_onoff = 1, .l_linger = static_cast<int>(time.count())};
  detail::set_socket_option(handle(), SOL_SOCKET, SO_LINGER, value, "set_linger of");
}

tcp_stream tcp_stream::adopt(int number) {
  endpoint peer;
  const int result = calls::peer_name(number, peer);
  if (result != 0) detail::fail_socket(-result, "adopt", fmt::format("fd {} as a TCP stream", number));
  return tcp_stream(detail::descriptor_handle(detail::descriptor::adopt(number, peer)));
}

// ---- tcp_listener

tcp_listener tcp_listener::bind(const endpoint& local, listen_options options) {
  tcp_listener made(detail::bind_socket(calls::make_stream_socket, local, options.reuse_address, options.reuse_port));
  // For those that it accepts: they inherit it.
  detail::set_socket_option(made.handle(), IPPROTO_TCP, TCP_NODELAY, 1, "bind");
  if (const int result = calls::listen(made.native_handle(), options.backlog); result != 0) {
    detail::fail_socket(-result, "listen", local.to_string());
  }
  return local.port() == 0 ? adopt(made.release()) : std::move(made);  // now that its port has a name
}

endpoint tcp_listener::local_endpoint() const { return detail::local_endpoint_of(handle()); }

tcp_listener tcp_listener::adopt(int number) {
  detail::check_network_socket(number, SOCK_STREAM, "a listener");
  const int listening = calls::is_listening(number);
  if (listening == 0)
    detail::fail_socket(EINVAL, "adopt", fmt::format("fd {} as a listener (it does not listen)", number));
  const int result = listening < 0 ? listening : calls::make_non_blocking(number);
  if (result < 0) detail::fail_socket(-result, "adopt", fmt::format("fd {} as a listener", number));
  return tcp_listener(detail::adopt_bound(number));
}

}  // namespace weir
