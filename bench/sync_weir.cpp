#include "allocation_counter.hpp"
#include "stopwatch.hpp"
#include "sync_bench.hpp"

#include <weir/weir.hpp>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>

namespace bench {
namespace {

struct weir_library {
  using task = weir::task<>;
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
  static auto spawn(task&& child) { return weir::spawn(std::move(child)); }
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
weir::task<> run_once(Case& measured, std::uint64_t operations) {
  auto body = [&](weir::task_group& group) -> weir::task<> {
    measured.start(operations, [&](weir::task<>&& t) { static_cast<void>(group.spawn(std::move(t))); });
    co_return;
  };
  co_await weir::with_task_group(body);
}

template <class Case>
weir::task<sync_sample> run(std::uint64_t operations, bool alone) {
  const auto measured = std::make_unique<Case>();
  const std::uint64_t warm_up = std::max<std::uint64_t>(operations / 16, 1024);
  co_await run_once(*measured, warm_up);
  const bool warm_right = measured->right();
  const std::uint64_t allocated = allocations();
  const stopwatch watch;
  co_await run_once(*measured, operations);
  const double cpu = watch.cpu_ns();  // of use only when this is the thread that we began on
  const double wall = watch.wall_ns();
  const auto n = static_cast<double>(operations);
  sync_sample sample{.ns = (alone ? cpu : wall) / n,
                     .allocations = static_cast<double>(allocations() - allocated) / n,
                     .stretched = alone ? wall / cpu : 1,
                     .right = warm_right && measured->right()};
  co_return sample;
}

}  // namespace

sync_sample run_weir(sync_case which, std::uint64_t operations, sync_column how) {
  const bool alone = how != sync_column::two_workers;
  const weir::runtime_options options{.workers = alone ? 1u : 2u, .confined = how == sync_column::confined};
  return with_case<weir_library>(
      which, [&]<class Case>(std::type_identity<Case>) { return weir::run(run<Case>(operations, alone), options); });
}

}  // namespace bench
