// The weir echo server that is measured: one worker, one task per connection, the buffer in the
// task's frame, or lent with what has come. WEIR_BACKEND=uring or epoll chooses the reactor. Ends on
// SIGINT or SIGTERM. Usage: weir_echo [PORT [SPIN_MICROSECONDS [leases]]]

#include <weir/weir.hpp>

#include <fmt/format.h>

#include <array>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string_view>
#include <utility>

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

using handler = weir::task<> (*)(weir::tcp_stream);

weir::task<> serve(weir::tcp_listener& listener, handler answer) {
  co_await weir::with_supervisor([&](weir::task_group& connections) -> weir::task<> {
    for (;;) {
      weir::tcp_stream peer = co_await listener.accept();
      connections.spawn(answer(std::move(peer)));
    }
  });
}

weir::task<> async_main(std::uint16_t port, handler answer) {
  weir::signal_set signals{SIGINT, SIGTERM};  // before anybody is told that we listen
  auto listener = weir::tcp_listener::bind(weir::endpoint::loopback(port));
  fmt::print("listening on {}\n", listener.local_endpoint());
  std::fflush(stdout);
  co_await weir::when_any(serve(listener, answer), signals.wait());  // cancels the loser, joins it
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint16_t port = argc > 1 ? static_cast<std::uint16_t>(std::atoi(argv[1])) : 0;
  const std::chrono::microseconds spin(argc > 2 ? std::atoi(argv[2]) : 0);
  const handler answer = argc > 3 && std::string_view(argv[3]) == "leases" ? echo_leases : echo;
  weir::run(async_main(port, answer), weir::runtime_options{.workers = 1, .spin = spin});
}
