// A TCP echo server: a task for each connection, a clean end on SIGINT or SIGTERM, and its tasks on SIGUSR1.
// Usage: echo_server [PORT]
// Without a port it picks one, talks to itself, and sends itself the signal.

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
#include <string_view>
#include <utility>

weir::task<> echo(weir::tcp_stream peer) {
  std::array<std::byte, 4096> buffer;                        // in the task's frame
  while (std::size_t n = co_await peer.read_some(buffer)) {  // 0: the peer has said all that it had to say
    co_await peer.write_all(std::span(buffer).first(n));
  }
}

// A supervisor, not a plain group: a connection that is reset fails alone.
weir::task<> serve(weir::tcp_listener& listener) {
  co_await weir::with_supervisor([&](weir::task_group& group) -> weir::task<> {
    auto arriving = weir::connections(listener);  // outlasts that descriptors run out
    while (auto peer = co_await arriving.next()) group.spawn(echo(std::move(*peer)));
  });
}

weir::task<> say_hello(weir::endpoint server) {
  weir::tcp_stream stream = co_await weir::tcp_stream::connect(server);
  const std::string_view greeting = "hello";
  co_await stream.write_all(std::as_bytes(std::span(greeting)));
  std::array<std::byte, 5> answer;
  co_await stream.read_exactly(answer);
  fmt::print("echoed: {}\n", std::string_view(reinterpret_cast<const char*>(answer.data()), answer.size()));
}

weir::task<> async_main(std::uint16_t port) {
  weir::signal_set signals{SIGINT, SIGTERM};  // before anybody is told that we listen
  auto listener = weir::tcp_listener::bind(weir::endpoint::loopback(port));
  fmt::print("listening on {}\n", listener.local_endpoint());
  std::fflush(stdout);

  co_await weir::with_task_group([&](weir::task_group& group) -> weir::task<> {
    auto visit = [&]() -> weir::task<> {
      co_await say_hello(listener.local_endpoint());
      ::kill(::getpid(), SIGTERM);  // not raise(): weir's own threads leave signals to the others
    };
    if (port == 0) group.spawn(visit);
    auto first = co_await weir::when_any(serve(listener), signals.wait());  // stops the loser and joins it
    if (first.index() == 1) fmt::print("signal {}, every connection joined\n", first.get<1>());
    co_await group.join();
  });
}

int main(int argc, char** argv) {
  const auto port = argc > 1 ? static_cast<std::uint16_t>(std::atoi(argv[1])) : std::uint16_t{0};
  weir::run(async_main(port), {.dump_signal = SIGUSR1});  // kill -USR1 shows every task
}
