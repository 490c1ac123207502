// A first program: tasks and their values, several at once, and a group that joins what it spawned.
// Usage: hello

#include <weir/weir.hpp>

#include <fmt/format.h>

#include <chrono>
#include <string>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

weir::task<int> doubled(int n) {
  co_await weir::sleep_for(10ms);  // suspends this task; its worker runs others meanwhile
  co_return 2 * n;
}

weir::task<> greet(std::string name) {  // by value: the task keeps what it is given
  co_await weir::sleep_for(5ms);
  fmt::print("hello, {}\n", name);
}

weir::task<> async_main() {
  const int one = co_await doubled(21);  // runs now, here, and the value comes back
  fmt::print("one: {}\n", one);

  auto [a, b] = co_await weir::when_all(doubled(1), doubled(2));  // both at once: 10 ms, not 20
  fmt::print("two at once: {} {}\n", a, b);

  std::vector<weir::task<int>> tasks;  // nothing runs yet: a task starts when it is awaited
  tasks.reserve(4);
  for (int n = 0; n < 4; ++n) tasks.push_back(doubled(n));
  const std::vector<int> values = co_await weir::when_all(std::move(tasks));
  fmt::print("any number: {} values, the last is {}\n", values.size(), values.back());

  co_await weir::with_task_group([](weir::task_group& group) -> weir::task<> {
    group.spawn(greet("ring"));
    group.spawn(greet("weir"));
    co_return;
  });  // goes on when both have ended
  fmt::print("everybody was greeted\n");
}

int main() { weir::run(async_main()); }
