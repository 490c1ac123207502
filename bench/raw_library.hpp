#pragma once
// The cases of `bench sync` and `bench runtime` on the raw floor.

#include "allocation_counter.hpp"
#include "case_sample.hpp"
#include "raw_coroutines.hpp"
#include "stopwatch.hpp"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>

namespace bench {

struct raw_library {
  static constexpr std::uint64_t an_hour = 3'600'000'000'000;

  using task = raw::task;
  using join_handle = raw::join_handle;
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
  static auto long_sleep() { return raw::long_sleep(an_hour); }
  static auto spawn(task&& child) { return raw::join_handle(std::move(child)); }
  static auto child(task&& awaited) { return raw::child(std::move(awaited)); }
  static auto receive_either(channel<std::uint64_t>& a, channel<std::uint64_t>& b) {
    return raw::select_operation<std::uint64_t>(a, b);
  }
  static std::uint64_t value_of(std::uint64_t received) { return received; }
};

template <class Case>
void run_raw_once(Case& measured, std::uint64_t operations) {
  measured.start(operations, [](raw::task&& t) { raw::detach(std::move(t)); });
  raw::ready.run();
}

template <class Case>
case_sample run_raw_case(std::uint64_t operations) {
  const auto measured = std::make_unique<Case>();
  run_raw_once(*measured, std::max<std::uint64_t>(operations / 16, 1024));
  const bool warm_right = measured->right();
  const std::uint64_t allocated = allocations();
  const stopwatch watch;
  run_raw_once(*measured, operations);
  const double cpu = watch.cpu_ns();
  const double wall = watch.wall_ns();
  const auto n = static_cast<double>(operations);
  return {.value = cpu / n,
          .allocations = static_cast<double>(allocations() - allocated) / n,
          .stretched = wall / cpu,
          .right = warm_right && measured->right()};
}

}  // namespace bench
