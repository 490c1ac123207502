#pragma once
// The cases of `bench sync`, `bench runtime` and `bench patterns` on weir.

#include "allocation_counter.hpp"
#include "case_sample.hpp"
#include "columns.hpp"
#include "stopwatch.hpp"

#include <weir/weir.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

namespace bench {

struct weir_library {
  using task = weir::task<>;
  using join_handle = weir::join_handle<>;
  template <class T>
  using channel = weir::channel<T>;
  using mutex = weir::mutex;
  struct turnstile : weir::event {
    turnstile() : event(weir::reset_mode::automatic) {}
  };
  using gate = weir::event;

  static auto yield() { return weir::yield(); }
  static auto timed_yield() { return weir::with_timeout(std::chrono::hours(1), weir::yield()); }
  static auto timed_wait(gate& awaited) { return weir::with_timeout(std::chrono::hours(1), awaited.wait()); }
  static auto long_sleep() { return weir::sleep_for(std::chrono::hours(1)); }
  static auto spawn(task&& child) { return weir::spawn(std::move(child)); }
  static task&& child(task&& awaited) { return std::move(awaited); }
  static auto receive_either(channel<std::uint64_t>& a, channel<std::uint64_t>& b) {
    return weir::select(a.receive(), b.receive());
  }
  static std::uint64_t value_of(const std::optional<std::uint64_t>& received) { return *received; }
  template <class Chosen>
  static std::uint64_t value_of(const Chosen& chosen) {
    return chosen.index() == 0 ? *chosen.template get<0>() : *chosen.template get<1>();
  }
};

template <class Case>
weir::task<> run_weir_once(Case& measured, std::uint64_t operations) {
  auto body = [&](weir::task_group& group) -> weir::task<> {
    measured.start(operations, [&](weir::task<>&& t) { static_cast<void>(group.spawn(std::move(t))); });
    co_return;
  };
  co_await weir::with_task_group(body);
}

/// `alone`: on one worker.
template <class Case>
weir::task<case_sample> run_weir_case(std::uint64_t operations, bool alone) {
  const auto measured = std::make_unique<Case>();
  const std::uint64_t warm_up = std::max<std::uint64_t>(operations / 16, 1024);
  co_await run_weir_once(*measured, warm_up);
  const bool warm_right = measured->right();
  const std::uint64_t allocated = allocations();
  const stopwatch watch;
  co_await run_weir_once(*measured, operations);
  const double cpu = watch.cpu_ns();  // of use only when this is the thread that we began on
  const double wall = watch.wall_ns();
  const auto n = static_cast<double>(operations);
  case_sample sample{.value = (alone ? cpu : wall) / n,
                     .allocations = static_cast<double>(allocations() - allocated) / n,
                     .stretched = alone ? wall / cpu : 1,
                     .right = warm_right && measured->right()};
  co_return sample;
}

inline weir::runtime_options weir_options(column how) {
  return {.workers = with_two_threads(how) ? 2u : 1u, .confined = how == column::confined};
}

}  // namespace bench
