// A service of two parts that stand on each other: a journal, and a server that writes into it. They start in that
// order. At a signal the server takes no more, finishes what it has and ends before the journal, which so has every
// line; whatever takes too long is cancelled and named. Each step is printed.
// Usage: service [PORT]      then: nc 127.0.0.1 PORT
// Without a port it picks one, talks to itself, and sends itself the signal in the middle of that.

#include <weir/weir.hpp>

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

using namespace std::chrono_literals;

using entries = weir::channel<std::string>;

// A component is one task: its start is what stands before ready(), its end what stands behind draining().
weir::task<> journal(weir::service_component& self, entries& lines, int& kept) {
  auto keep = [&]() -> weir::task<> {
    while (auto line = co_await lines.receive()) ++kept;  // a real one would write it
  };
  self.ready();
  auto wait_for_end = [&]() -> weir::task<> {
    co_await self.draining();  // nobody writes any more: the server has ended
    lines.close();
  };
  co_await weir::when_all(keep(), wait_for_end());
}

weir::task<> answer(weir::tcp_stream peer, entries& lines) {
  weir::buffered_reader requests{peer, {.buffer = 1024, .bound = 1000}};
  while (auto request = co_await weir::with_timeout(1min, requests.read_line())) {
    co_await weir::sleep_for(20ms);  // this takes a while
    const std::string reply = *request + ", noted\n";
    co_await lines.send(std::move(*request));  // waits while 100 lines wait for the journal
    co_await weir::with_timeout(10s, weir::write_all(peer, reply));
  }
}

weir::task<> visit(weir::endpoint server) {
  weir::tcp_stream stream = co_await weir::tcp_stream::connect(server);
  weir::buffered_reader replies{stream};
  for (const char* thing : {"one thing\n", "another\n"}) {
    co_await weir::write_all(stream, thing);
    if (*thing == 'a') ::kill(::getpid(), SIGTERM);  // while the server is at it
    const auto reply = co_await replies.read_line();
    fmt::print("{}\n", reply.value_or("no answer"));
  }
}

weir::task<> server(weir::service_component& self, entries& lines, std::uint16_t port) {
  auto listener = weir::tcp_listener::bind(weir::endpoint::loopback(port));
  fmt::print("listening on {}\n", listener.local_endpoint());
  co_await weir::with_supervisor([&](weir::task_group& connections) -> weir::task<> {
    if (port == 0) connections.spawn(visit(listener.local_endpoint()));
    self.ready();
    for (;;) {
      auto peer = co_await weir::as_result(weir::with_cancellation(self.drain_token(), listener.accept()));
      if (!peer) break;  // from here on the supervisor waits for the connections that there are
      connections.spawn(answer(std::move(*peer), lines));
    }
  });
}

int main(int argc, char** argv) {
  const std::uint16_t port = argc > 1 ? static_cast<std::uint16_t>(std::atoi(argv[1])) : 0;
  entries lines(100);
  int kept = 0;
  weir::service app({.shutdown_limit = 10s});
  app.observe([](std::string_view step) { fmt::print("  {}\n", step); });
  app.add("journal", [&](weir::service_component& self) { return journal(self, lines, kept); });
  app.add("server", [&](weir::service_component& self) { return server(self, lines, port); }, {.drain_limit = 5s});

  weir::service_report report;
  auto all = [&](weir::cancellation_token stopping) -> weir::task<> { report = co_await app.run(stopping); };
  weir::run_until_signal(all, {.drain = 20s});  // for what does not obey the service
  fmt::print("{} lines in the journal, exit code {}\n", kept, report.exit_code);
  return port == 0 && kept != 2 ? 1 : report.exit_code;
}
