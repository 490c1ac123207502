// The weir servers that are measured, on one worker. WEIR_BACKEND=uring or epoll chooses the reactor.
// Usage: weir_echo [PORT [SPIN_MICROSECONDS [own|leases|accept|udp]]]
//   own     one task for each connection, the buffer in the task's frame;
//   leases  the buffer is lent with what has come;
//   accept  closes what it has accepted;
//   udp     sends datagrams back.

#include "weir_server.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <span>
#include <string_view>

namespace {

weir::task<> echo(weir::tcp_stream peer) {
  std::array<std::byte, 4096> buffer;
  while (std::size_t n = co_await peer.read_some(buffer)) {
    co_await peer.write_all(std::span(buffer).first(n));
  }
}

weir::task<> echo_leases(weir::tcp_stream peer) {
  while (auto bytes = co_await peer.receive()) co_await peer.write_all(*bytes);
}

weir::task<> accept_all(weir::tcp_listener& listener) {
  for (;;) {
    weir::tcp_stream peer = co_await listener.accept();
    peer.close();
  }
}

weir::task<> accept_until_signal(std::uint16_t port) {
  weir::signal_set signals{SIGINT, SIGTERM};
  auto listener = weir::tcp_listener::bind(weir::endpoint::loopback(port));
  bench::announce(listener.local_endpoint());
  co_await weir::when_any(accept_all(listener), signals.wait());
}

weir::task<> echo_datagrams(weir::udp_socket& socket) {
  std::array<std::byte, 9000> buffer;
  for (;;) {
    const weir::datagram got = co_await socket.receive(buffer);
    co_await socket.send_to(std::span(buffer).first(got.size), got.from);
  }
}

/// Several tasks on one socket: what they do goes to the kernel together.
weir::task<> serve_datagrams(weir::udp_socket& socket) {
  constexpr int tasks = 32;
  co_await weir::with_task_group([&](weir::task_group& group) -> weir::task<> {
    for (int i = 0; i < tasks; ++i) group.spawn(echo_datagrams(socket));
    co_await group.join();
  });
}

weir::task<> datagrams_until_signal(std::uint16_t port) {
  weir::signal_set signals{SIGINT, SIGTERM};
  auto socket = weir::udp_socket::bind(weir::endpoint::loopback(port));
  bench::announce(socket.local_endpoint());
  co_await weir::when_any(serve_datagrams(socket), signals.wait());
}

weir::task<> async_main(std::uint16_t port, std::string_view kind) {
  if (kind == "accept") return accept_until_signal(port);
  if (kind == "udp") return datagrams_until_signal(port);
  static constexpr auto own = echo;
  static constexpr auto leases = echo_leases;
  return kind == "leases" ? bench::serve_until_signal(port, leases) : bench::serve_until_signal(port, own);
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint16_t port = argc > 1 ? static_cast<std::uint16_t>(std::atoi(argv[1])) : 0;
  const std::chrono::microseconds spin(argc > 2 ? std::atoi(argv[2]) : 0);
  weir::run(async_main(port, argc > 3 ? argv[3] : "own"), weir::runtime_options{.workers = 1, .spin = spin});
}
