// Virtual time: an hour passes at once, a seed decides who runs next, and a deadlock says where everybody waits.
// Usage: simulation

#include <weir/weir.hpp>

#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <string>

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

  try {
    weir::simulation world;
    world.run(stuck());
    return 1;
  } catch (const weir::deadlock& e) {
    fmt::print("{}", e.what());
  }
}
