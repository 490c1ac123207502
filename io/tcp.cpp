#include "tcp.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace weir {

namespace {

[[noreturn]] void fail(const char* verb, const std::string& object) {
  throw std::system_error(errno, std::generic_category(), fmt::format("{} {}", verb, object));
}

detail::descriptor& open_one(const detail::descriptor_handle& socket, const char* verb) {
  if (!socket) throw std::system_error(EBADF, std::generic_category(), fmt::format("{} a closed socket", verb));
  return *socket.get();
}

template <class T>
void set_option(const detail::descriptor_handle& socket, int level, int option, const T& value, const char* verb) {
  const detail::descriptor& target = open_one(socket, verb);
  if (::setsockopt(target.number(), level, option, &value, sizeof value) != 0) fail(verb, target.name());
}

endpoint local_of(int number, const std::string& name) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(number, reinterpret_cast<sockaddr*>(&address), &size) != 0) fail("local_endpoint of", name);
  return endpoint::from_native(&address, size);
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
  if (::shutdown(target.number(), how) != 0 && errno != ENOTCONN) fail("shutdown", target.name());
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
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getpeername(number, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    fail("adopt", fmt::format("fd {} as a TCP stream", number));
  }
  return tcp_stream(
      detail::descriptor_handle(detail::descriptor::adopt(number, endpoint::from_native(&address, size))));
}

// ---- tcp_listener

tcp_listener tcp_listener::bind(const endpoint& local, listen_options options) {
  if (!local) {  // the kernel would take it for 0.0.0.0:0
    errno = EADDRNOTAVAIL;
    fail("bind", local.to_string());
  }
  // Non-blocking for the readiness form; accepted sockets do not inherit that, but they do inherit TCP_NODELAY.
  const int number = ::socket(local.is_v6() ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (number < 0) fail("bind", local.to_string());
  tcp_listener made(detail::descriptor_handle(
      detail::descriptor::adopt(number, detail::descriptor::kind::socket, local.to_string())));
  set_option(made.socket_, SOL_SOCKET, SO_REUSEADDR, static_cast<int>(options.reuse_address), "bind");
  set_option(made.socket_, SOL_SOCKET, SO_REUSEPORT, static_cast<int>(options.reuse_port), "bind");
  set_option(made.socket_, IPPROTO_TCP, TCP_NODELAY, 1, "bind");
  sockaddr_storage address{};
  const auto size = static_cast<socklen_t>(local.to_native(&address));
  if (::bind(number, reinterpret_cast<const sockaddr*>(&address), size) != 0) fail("bind", local.to_string());
  if (::listen(number, options.backlog) != 0) fail("listen", local.to_string());
  return local.port() == 0 ? adopt(made.release()) : std::move(made);  // now that its port has a name
}

endpoint tcp_listener::local_endpoint() const { return local_of(socket_); }

tcp_listener tcp_listener::adopt(int number) {
  int listening = 0;
  socklen_t size = sizeof listening;
  if (::getsockopt(number, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0) {
    fail("adopt", fmt::format("fd {} as a listener", number));
  }
  if (!listening) {
    errno = EINVAL;
    fail("adopt", fmt::format("fd {} as a listener (it does not listen)", number));
  }
  const int flags = ::fcntl(number, F_GETFL);
  if (flags < 0 || ::fcntl(number, F_SETFL, flags | O_NONBLOCK) != 0) {
    fail("adopt", fmt::format("fd {} as a listener", number));
  }
  std::string name = local_of(number, fmt::format("fd {}", number)).to_string();
  return tcp_listener(
      detail::descriptor_handle(detail::descriptor::adopt(number, detail::descriptor::kind::socket, std::move(name))));
}

}  // namespace weir
