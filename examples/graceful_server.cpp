// A server whose main() is one line, and that ends in good order on SIGINT or SIGTERM: it takes no more connections,
// lets those that it has come to their end, and stops what takes too long.
// Usage: graceful_server [PORT]
// Without a port it picks one, talks to itself, and sends itself the signal in the middle of that.

#include <weir/weir.hpp>

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <utility>

using namespace std::chrono_literals;

weir::task<> answer(weir::tcp_stream peer) {
  weir::buffered_reader requests{peer};
  while (auto request = co_await requests.read_line()) {
    co_await weir::sleep_for(20ms);  // this takes a while
    const std::string reply = *request + ", done\n";
    co_await peer.write_all(std::as_bytes(std::span(reply)));
  }
}

weir::task<> visit(weir::endpoint server) {
  weir::tcp_stream stream = co_await weir::tcp_stream::connect(server);
  weir::buffered_reader replies{stream};
  for (const std::string_view request : {"one thing\n", "another\n"}) {
    co_await stream.write_all(std::as_bytes(std::span(request)));
    // While the server is at it. An answer has shown that it has this connection, and will not leave it in the queue.
    if (request == "another\n") ::kill(::getpid(), SIGTERM);
    const auto reply = co_await replies.read_line();
    fmt::print("{}\n", reply.value_or("nothing"));
  }
}

weir::task<> serve(std::uint16_t port, weir::cancellation_token stopping) {
  auto listener = weir::tcp_listener::bind(weir::endpoint::loopback(port));
  fmt::print("listening on {}\n", listener.local_endpoint());
  std::fflush(stdout);
  co_await weir::with_supervisor([&](weir::task_group& connections) -> weir::task<> {
    if (port == 0) connections.spawn(visit(listener.local_endpoint()));
    for (;;) {
      auto peer = co_await weir::as_result(weir::with_cancellation(stopping, listener.accept()));
      if (!peer) break;  // from here on the supervisor waits for the connections that there are
      connections.spawn(answer(std::move(*peer)));
    }
  });
}

int main(int argc, char** argv) {
  const std::uint16_t port = argc > 1 ? static_cast<std::uint16_t>(std::atoi(argv[1])) : 0;
  const auto server = [port](weir::cancellation_token stopping) { return serve(port, stopping); };
  const weir::signal_report end = weir::run_until_signal(server, {.drain = 10s});
  fmt::print("signal {}, {}\n", end.signal,
             end.cancelled ? "not everything came to its end" : "every request answered");
}
