#include "tcp.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <system_error>

#include "detail/system_calls.hpp"

namespace weir {

namespace {

namespace calls = detail::system_calls;

[[noreturn]] void fail(int error, const char* verb, const std::string& object) {
  throw std::system_error(error, std::generic_category(), fmt::format("{} {}", verb, object));
}

detail::descriptor& open_one(const detail::descriptor_handle& socket, const char* verb) {
  if (!socket) throw std::system_error(EBADF, std::generic_category(), fmt::format("{} a closed socket", verb));
  return *socket.get();
}

template <class T>
void set_option(const detail::descriptor_handle& socket, int level, int option, const T& value, const char* verb) {
  const detail::descriptor& target = open_one(socket, verb);
  const int result = calls::set_socket_option(target.number(), level, option, &value, sizeof value);
  if (result != 0) fail(-result, verb, target.name());
}

endpoint local_of(int number, const std::string& name) {
  endpoint local;
  const int result = calls::local_name(number, local);
  if (result != 0) fail(-result, "local_endpoint of", name);
  return local;
}

endpoint local_of(const detail::descriptor_handle& socket) {
  const detail::descriptor& target = open_one(socket, "local_endpoint of");
  return local_of(target.number(), target.name());
}

}  // namespace

// ---- tcp_stream

void tcp_stream::shutdown(direction which) {
  const detail::descriptor& target = open_one(socket_, "shutdown");
  const int how = which == direction::read ? SHUT_RD : which == direction::write ? SHUT_WR : SHUT_RDWR;
  // Directly: through the ring it would cost a kernel thread. ENOTCONN: the peer was faster.
  const int result = calls::shutdown(target.number(), how);
  if (result != 0 && result != -ENOTCONN) fail(-result, "shutdown", target.name());
}

endpoint tcp_stream::local_endpoint() const { return local_of(socket_); }

void tcp_stream::set_no_delay(bool on) {
  set_option(socket_, IPPROTO_TCP, TCP_NODELAY, static_cast<int>(on), "set_no_delay of");
}
void tcp_stream::set_keep_alive(bool on) {
  set_option(socket_, SOL_SOCKET, SO_KEEPALIVE, static_cast<int>(on), "set_keep_alive of");
}
void tcp_stream::set_linger(std::chrono::seconds time) {
  const linger value{.l_onoff = 1, .l_linger = static_cast<int>(time.count())};
  set_option(socket_, SOL_SOCKET, SO_LINGER, value, "set_linger of");
}
void tcp_stream::set_receive_buffer(int bytes) {
  set_option(socket_, SOL_SOCKET, SO_RCVBUF, bytes, "set_receive_buffer of");
}
void tcp_stream::set_send_buffer(int bytes) { set_option(socket_, SOL_SOCKET, SO_SNDBUF, bytes, "set_send_buffer of"); }

tcp_stream tcp_stream::adopt(int number) {
  endpoint peer;
  const int result = calls::peer_name(number, peer);
  if (result != 0) fail(-result, "adopt", fmt::format("fd {} as a TCP stream", number));
  return tcp_stream(detail::descriptor_handle(detail::descriptor::adopt(number, peer)));
}

// ---- tcp_listener

tcp_listener tcp_listener::bind(const endpoint& local, listen_options options) {
  if (!local) fail(EADDRNOTAVAIL, "bind", local.to_string());  // the kernel would take it for 0.0.0.0:0
  const int number = calls::make_stream_socket(local.is_v6());
  if (number < 0) fail(-number, "bind", local.to_string());
  tcp_listener made(detail::descriptor_handle(
      detail::descriptor::adopt(number, detail::descriptor::kind::socket, local.to_string())));
  set_option(made.socket_, SOL_SOCKET, SO_REUSEADDR, static_cast<int>(options.reuse_address), "bind");
  set_option(made.socket_, SOL_SOCKET, SO_REUSEPORT, static_cast<int>(options.reuse_port), "bind");
  set_option(made.socket_, IPPROTO_TCP, TCP_NODELAY, 1, "bind");  // for those it accepts: they inherit it
  if (const int result = calls::bind(number, local); result != 0) fail(-result, "bind", local.to_string());
  if (const int result = calls::listen(number, options.backlog); result != 0) {
    fail(-result, "listen", local.to_string());
  }
  return local.port() == 0 ? adopt(made.release()) : std::move(made);  // now that its port has a name
}

endpoint tcp_listener::local_endpoint() const { return local_of(socket_); }

tcp_listener tcp_listener::adopt(int number) {
  const int listening = calls::is_listening(number);
  if (listening == 0) fail(EINVAL, "adopt", fmt::format("fd {} as a listener (it does not listen)", number));
  const int result = listening < 0 ? listening : calls::make_non_blocking(number);
  if (result < 0) fail(-result, "adopt", fmt::format("fd {} as a listener", number));
  std::string name = local_of(number, fmt::format("fd {}", number)).to_string();
  return tcp_listener(
      detail::descriptor_handle(detail::descriptor::adopt(number, detail::descriptor::kind::socket, std::move(name))));
}

}  // namespace weir
