#include "memory_growth.hpp"
#include "runtime_bench.hpp"
#include "weir_library.hpp"

#include <atomic>

namespace bench {
namespace {

weir::task<> sleep_once(std::chrono::nanoseconds length, std::atomic<std::uint64_t>& woken) {
  const auto due = std::chrono::steady_clock::now() + length;
  co_await weir::sleep_for(length);
  if (std::chrono::steady_clock::now() >= due) woken.fetch_add(1, std::memory_order_relaxed);
}

weir::task<> sleep_all(std::uint64_t tasks, std::chrono::nanoseconds length, std::atomic<std::uint64_t>& woken) {
  auto body = [&](weir::task_group& group) -> weir::task<> {
    for (std::uint64_t i = 0; i < tasks; ++i) static_cast<void>(group.spawn(sleep_once(length, woken)));
    co_return;
  };
  co_await weir::with_task_group(body);
}

weir::task<case_sample> park_all(std::uint64_t tasks) {
  parked_case<weir_library> measured;
  case_sample sample;
  auto body = [&](weir::task_group& group) -> weir::task<> {
    const memory_growth growth;
    measured.start(tasks, [&](weir::task<>&& t) { static_cast<void>(group.spawn(std::move(t))); });
    while (measured.asleep() < tasks) co_await weir::yield();
    sample = {.value = static_cast<double>(growth.bytes()) / static_cast<double>(tasks), .right = true};
    group.cancel();
    co_await weir::yield();
  };
  static_cast<void>(co_await weir::as_result(weir::with_task_group(body)));
  co_return sample;
}

}  // namespace

case_sample run_weir(runtime_case which, std::uint64_t operations, column how) {
  return with_case<weir_library>(which, [&]<class Case>(std::type_identity<Case>) {
    return weir::run(run_weir_case<Case>(operations, !with_two_threads(how)), weir_options(how));
  });
}

case_sample run_weir_sleeps(std::uint64_t tasks, std::chrono::nanoseconds length, column how) {
  std::atomic<std::uint64_t> woken{0};
  const stopwatch watch;
  weir::run(sleep_all(tasks, length, woken), weir_options(how));
  return {.value = watch.process_cpu_ns() / 1e6, .seconds = watch.wall_ns() / 1e9, .right = woken.load() == tasks};
}

case_sample run_weir_parked(std::uint64_t tasks, column how) { return weir::run(park_all(tasks), weir_options(how)); }

}  // namespace bench
