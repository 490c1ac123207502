// Deadlines and cancellation: what a timeout does to what it bounds, to a group, and to cleanup that has to await.
// Usage: timeouts

#include <weir/weir.hpp>

#include <fmt/format.h>

#include <chrono>
#include <stdexcept>
#include <string>
#include <utility>

using namespace std::chrono_literals;

class said_goodbye {
 public:
  explicit said_goodbye(std::string who) : who_(std::move(who)) {}
  said_goodbye(const said_goodbye&) = delete;
  said_goodbye& operator=(const said_goodbye&) = delete;
  ~said_goodbye() { fmt::print("  {} leaves{}\n", who_, weir::unwinding() ? ", stopped" : ""); }

 private:
  std::string who_;
};

weir::task<> works_for(std::string who, weir::duration length) {
  const said_goodbye guard(std::move(who));
  try {
    co_await weir::sleep_for(length);
  } catch (...) {
    fmt::print("  never seen: a stop is no exception\n");
  }
}

weir::task<> fails() {
  co_await weir::sleep_for(5ms);
  throw std::runtime_error("out of luck");
}

weir::task<> async_main() {
  fmt::print("a timeout unwinds what it bounds:\n");
  try {
    co_await weir::with_timeout(10ms, works_for("the slow one", 1h));
  } catch (const weir::timed_out&) {
    fmt::print("  timed out\n");
  }

  fmt::print("the same without an exception:\n");
  auto outcome = co_await weir::as_result(weir::with_timeout(10ms, works_for("another", 1h)));
  fmt::print("  {}, because of its {}\n", outcome.error().message(), to_string(outcome.cause()));

  fmt::print("the first failure of a group stops its siblings:\n");
  auto group = co_await weir::as_result(weir::with_task_group([](weir::task_group& children) -> weir::task<> {
    children.spawn(works_for("a sibling", 1h));
    children.spawn(fails());
    co_return;
  }));
  try {
    group.value();
  } catch (const std::runtime_error& e) {
    fmt::print("  {}\n", e.what());
  }

  fmt::print("cleanup that awaits runs shielded, and then the stop goes on:\n");
  auto say_quit = [](const weir::cleanup_outcome& how) -> weir::task<> {
    co_await weir::sleep_for(2ms);
    fmt::print("  cleaned up after a {}\n", how.is_stopped() ? "stop" : "return");
  };
  auto session = [&]() -> weir::task<> { co_await weir::with_cleanup(works_for("a session", 1h), say_quit, 1s); };
  auto ended = co_await weir::as_result(weir::with_timeout(5ms, session()));
  fmt::print("  {}\n", ended.error().message());
}

int main() { weir::run(async_main()); }
