#include "loopback.hpp"

#include "error_text.hpp"

#include <fmt/format.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include <cerrno>
#include <stdexcept>

namespace bench {
namespace {

sockaddr_in loopback_address(std::uint32_t host, std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(host);
  return address;
}

// An interrupted connect goes on by itself. Interrupted it is: the late clean-up of an earlier ring
// of this thread arrives as a signal without a handler.
int await_connected(int fd) {
  pollfd waited{.fd = fd, .events = POLLOUT, .revents = 0};
  int ready = 0;
  do ready = poll(&waited, 1, 5'000);
  while (ready < 0 && errno == EINTR);
  if (ready == 0) return EINPROGRESS;
  int error = 0;
  socklen_t length = sizeof error;
  getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
  return error;
}

}  // namespace

int connect_loopback(std::uint16_t port, std::size_t index) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) throw std::runtime_error(fmt::format("socket: {}", error_text(errno)));

  const int on = 1;
  const timeval limit{.tv_sec = 5, .tv_usec = 0};
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);

  int result = 0;
  if (const std::size_t host = index / 16'000; host > 0) {
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    const sockaddr_in source = loopback_address(INADDR_LOOPBACK + static_cast<std::uint32_t>(host), 0);
    result = bind(fd, reinterpret_cast<const sockaddr*>(&source), sizeof source);
  }
  const sockaddr_in server = loopback_address(INADDR_LOOPBACK, port);
  if (result == 0) result = connect(fd, reinterpret_cast<const sockaddr*>(&server), sizeof server);
  int error = result < 0 ? errno : 0;
  if (error == EINTR) error = await_connected(fd);
  if (error != 0) {
    close(fd);
    throw std::runtime_error(fmt::format("connect 127.0.0.1:{}: {}", port,
                                         error == EINPROGRESS ? "no answer within 5 s" : error_text(error)));
  }
  return fd;
}

std::size_t raise_open_files_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  return static_cast<std::size_t>(limit.rlim_max);
}

}  // namespace bench
