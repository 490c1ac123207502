#pragma once
// What the servers on weir share: they listen on loopback, say where, and end on SIGINT or SIGTERM.

#include <weir/weir.hpp>

#include <fmt/format.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <utility>

namespace bench {

/// A task for each connection: `answer(connection)`.
template <class Answer>
weir::task<> serve(weir::tcp_listener& listener, const Answer& answer) {
  co_await weir::with_supervisor([&](weir::task_group& connections) -> weir::task<> {
    for (;;) {
      weir::tcp_stream peer = co_await listener.accept();
      connections.spawn(answer(std::move(peer)));
    }
  });
}

inline void announce(const weir::endpoint& where) {
  fmt::print("listening on {}\n", where);
  std::fflush(stdout);
}

template <class Answer>
weir::task<> serve_until_signal(std::uint16_t port, const Answer& answer) {
  weir::signal_set signals{SIGINT, SIGTERM};  // before anybody is told that we listen
  auto listener = weir::tcp_listener::bind(weir::endpoint::loopback(port));
  announce(listener.local_endpoint());
  co_await weir::when_any(serve(listener, answer), signals.wait());  // cancels the loser, joins it
}

}  // namespace bench
