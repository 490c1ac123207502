#include "allocation_counter.hpp"
#include "raw_coroutines.hpp"
#include "stopwatch.hpp"
#include "sync_bench.hpp"

#include <algorithm>
#include <memory>

namespace bench {
namespace {

constexpr std::uint64_t an_hour = 3'600'000'000'000;

struct raw_library {
  using task = raw::task;
  template <class T>
  using channel = raw::channel<T>;
  using mutex = raw::mutex;
  struct turnstile : raw::event {
    turnstile() : event(false) {}
  };
  struct gate : raw::event {
    gate() : event(true) {}
  };

  static auto yield() { return raw::yield(); }
  static auto timed_yield() { return raw::timed_yield(an_hour); }
  static auto timed_wait(gate& awaited) { return awaited.wait(); }
  static auto spawn(task&& child) { return raw::join_handle(std::move(child)); }
  static auto receive_either(channel<std::uint64_t>& a, channel<std::uint64_t>& b) {
    return raw::select_operation<std::uint64_t>(a, b);
  }
  static std::uint64_t value_of(std::uint64_t received) { return received; }
};

template <class Case>
void run_once(Case& measured, std::uint64_t operations) {
  measured.start(operations, [](raw::task&& t) { raw::detach(std::move(t)); });
  raw::ready.run();
}

template <class Case>
sync_sample run(std::uint64_t operations) {
  const auto measured = std::make_unique<Case>();
  run_once(*measured, std::max<std::uint64_t>(operations / 16, 1024));
  const bool warm_right = measured->right();
  const std::uint64_t allocated = allocations();
  const stopwatch watch;
  run_once(*measured, operations);
  const double cpu = watch.cpu_ns();
  const double wall = watch.wall_ns();
  const auto n = static_cast<double>(operations);
  return {.ns = cpu / n,
          .allocations = static_cast<double>(allocations() - allocated) / n,
          .stretched = wall / cpu,
          .right = warm_right && measured->right()};
}

}  // namespace

sync_sample run_raw(sync_case which, std::uint64_t operations) {
  return with_case<raw_library>(which, [&]<class Case>(std::type_identity<Case>) { return run<Case>(operations); });
}

}  // namespace bench
