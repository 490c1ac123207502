// Virtual time: an hour passes at once, a seed decides who runs next, and a deadlock says where everybody waits. And a
// network in memory, which breaks connections: code runs there as it is.
// Usage: simulation

#include <weir/weir.hpp>

#include <fmt/format.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <utility>

using namespace std::chrono_literals;

weir::task<> heartbeat(int& beats) {
  weir::interval every{1min};
  for (;;) {
    co_await every.tick();
    ++beats;
  }
}

weir::task<> one_hour() {
  int beats = 0;
  auto r = co_await weir::as_result(weir::with_timeout(1h, heartbeat(beats)));
  fmt::print("{} beats, and it is {} minutes later\n", beats,
             std::chrono::duration_cast<std::chrono::minutes>(weir::now().time_since_epoch()).count());
  fmt::print("the heart stopped: {}\n", r.error().message());
}

weir::task<> runner(char name, std::string& order) {
  co_await weir::sleep_for(1s);  // all are ready at the same moment: who goes first?
  order += name;
}

weir::task<std::string> race() {
  std::string order;
  co_await weir::with_task_group([&](weir::task_group& group) -> weir::task<> {
    for (char name = 'a'; name <= 'e'; ++name) group.spawn(runner(name, order));
    co_await group.join();
  });
  co_return order;
}

weir::task<> answer(weir::tcp_listener& listener) {
  co_await weir::with_supervisor([&](weir::task_group& connections) -> weir::task<> {
    auto reply = [](weir::tcp_stream peer) -> weir::task<> {
      std::array<std::byte, 16> question;
      co_await peer.read_exactly(question);
      co_await peer.write_all(question);
    };
    for (;;) {
      weir::tcp_stream peer = co_await listener.accept();
      connections.spawn(reply, std::move(peer));
    }
  });
}

weir::task<> ask(weir::endpoint server) {
  auto stream = co_await weir::tcp_stream::connect(server);
  std::array<std::byte, 16> bytes{};
  co_await stream.write_all(bytes);
  co_await stream.read_exactly(bytes);
}

weir::task<int> tries_until_answered(weir::endpoint server) {
  for (int tries = 1;; ++tries) {
    auto r = co_await weir::as_result(weir::with_timeout(1s, ask(server)));
    if (r.has_value()) co_return tries;
    co_await weir::sleep_for(100ms);
  }
}

weir::task<int> server_and_client() {
  auto listener = weir::tcp_listener::bind(weir::endpoint::loopback(7000));
  auto first = co_await weir::when_any(answer(listener), tries_until_answered(listener.local_endpoint()));
  co_return first.get<1>();
}

weir::task<> waits_for(weir::event& what) { co_await what.wait(); }

weir::task<> stuck() {
  weir::event never;
  co_await weir::when_all(waits_for(never), waits_for(never));
}

int main() {
  weir::simulation hour;
  hour.run(one_hour());

  for (std::uint64_t seed : {1, 2, 1}) {
    weir::simulation world({.seed = seed});
    fmt::print("seed {}: {}\n", seed, world.run(race()));
  }

  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    weir::simulation world({.seed = seed,
                            .network = {.latency = 20ms, .partial = 0.2, .reset = 0.2},
                            .on_error = [](const std::exception_ptr&) noexcept {}});  // broken connections
    const int tries = world.run(server_and_client());
    fmt::print("seed {}: an answer at try {}, after {} ms\n", seed, tries,
               std::chrono::duration_cast<std::chrono::milliseconds>(world.now().time_since_epoch()).count());
  }

  try {
    weir::simulation world;
    world.run(stuck());
    return 1;
  } catch (const weir::deadlock& e) {
    fmt::print("{}", e.what());
  }
}
