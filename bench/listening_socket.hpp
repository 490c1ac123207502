#pragma once
// What the raw servers share: a socket on loopback and the signals that end them.

#include <fmt/format.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <system_error>

namespace bench {

[[noreturn]] inline void fail(const char* operation, int error) {
  throw std::system_error(error, std::system_category(), operation);
}

inline int check(int result, const char* operation) {
  if (result < 0) fail(operation, errno);
  return result;
}

/// Blocks SIGINT and SIGTERM and returns a descriptor that becomes readable with the first of them.
/// Called before anybody is told that we listen, so no signal is missed.
inline int termination_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  if (const int error = pthread_sigmask(SIG_BLOCK, &set, nullptr); error != 0) fail("pthread_sigmask", error);
  return check(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), "signalfd");
}

/// Binds to 127.0.0.1.
inline void bind_to_loopback(int descriptor, std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  check(bind(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof address), "bind");
}

/// Says which port it has.
inline void announce(int descriptor) {
  sockaddr_in address{};
  socklen_t length = sizeof address;
  check(getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &length), "getsockname");
  fmt::print("listening on 127.0.0.1:{}\n", ntohs(address.sin_port));
  std::fflush(stdout);
}

/// Listens on 127.0.0.1 and announces the port. TCP_NODELAY is set here because accepted sockets
/// inherit it, which saves a system call each and works for direct descriptors too.
inline int listen_on_loopback(std::uint16_t port, int type_flags) {
  const int listener = check(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | type_flags, 0), "socket");
  const int on = 1;
  check(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), "SO_REUSEADDR");
  check(setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "TCP_NODELAY");
  bind_to_loopback(listener, port);
  check(listen(listener, 4096), "listen");
  announce(listener);
  return listener;
}

/// The same for datagrams.
inline int receive_on_loopback(std::uint16_t port, int type_flags) {
  const int receiver = check(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | type_flags, 0), "socket");
  bind_to_loopback(receiver, port);
  announce(receiver);
  return receiver;
}

/// The first argument; 0, which picks a port, without one.
inline std::uint16_t port_argument(int argc, char** argv) {
  return argc > 1 ? static_cast<std::uint16_t>(std::strtoul(argv[1], nullptr, 10)) : std::uint16_t{0};
}

/// Raises the soft limit on open files to the hard one and returns it.
inline rlim_t raise_open_files() {
  rlimit limit{};
  check(getrlimit(RLIMIT_NOFILE, &limit), "getrlimit");
  limit.rlim_cur = limit.rlim_max;
  check(setrlimit(RLIMIT_NOFILE, &limit), "setrlimit");
  return limit.rlim_cur;
}

}  // namespace bench
