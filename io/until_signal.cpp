#include "until_signal.hpp"

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <utility>

#include "../runtime/with_cleanup.hpp"

namespace weir::detail {

namespace {

/// The thread that owns the runtime waits until the server has ended, or is to.
class server_state {
 public:
  void set_stopping() { set(stopping_); }
  void set_ended() { set(ended_); }
  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return stopping_ || ended_; });
  }

 private:
  void set(bool& flag) {
    const std::lock_guard guard(mutex_);
    flag = true;
    changed_.notify_one();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;  // guarded by mutex_
  bool ended_ = false;     // guarded by mutex_
};

}  // namespace

signal_set watch_signals(const until_signal_options& options) {
  std::array<int, 4> wanted{};
  std::size_t n = 0;
  for (const int signal : options.signals) {
    if (signal != 0) wanted[n++] = signal;
  }
  switch (n) {
    case 1:
      return {wanted[0]};
    case 2:
      return {wanted[0], wanted[1]};
    case 3:
      return {wanted[0], wanted[1], wanted[2]};
    case 4:
      return {wanted[0], wanted[1], wanted[2], wanted[3]};
    default:
      throw std::invalid_argument("weir: until_signal without a signal to wait for");
  }
}

task<> stop_on_signal(slot<signal_set> signals, cancellation_source& stopping, int& signal) {
  signal = co_await signals->wait();
  signals.reset();
  stopping.request_cancellation();
}

signal_report run_until_signal(const std::function<task<>(cancellation_token)>& serve,
                               const until_signal_options& options, const runtime_options& runtime) {
  signal_report report;
  std::exception_ptr failure;
  slot<signal_set> signals;
  signals.emplace(watch_signals(options));  // before `serve` runs, and says that it is ready
  server_state state;                       // outlives the runtime, whose tasks use it
  class runtime workers(runtime);
  const auto run = [&]() -> task<> {
    cancellation_source stopping;
    const auto body = [&](task_group& group) -> task<> {
      const auto watch = [&]() -> task<> {
        co_await stop_on_signal(std::move(signals), stopping, report.signal);
        state.set_stopping();
      };
      auto watching = group.spawn(watch);
      co_await serve(stopping.token());
      watching.request_cancellation();
    };
    auto ended = co_await as_result(with_task_group(body));
    failure = ended.exception();
  };
  const auto main = [&]() -> task<> {
    const auto end = [&](const cleanup_outcome&) -> task<> {
      state.set_ended();
      co_return;
    };
    co_await with_cleanup(run(), end, std::chrono::hours(1));
  };
  workers.spawn(main);
  state.wait();
  // Who ends by himself leaves nothing behind that is to be waited for.
  const duration drain = report.signal == 0 ? duration::zero() : options.drain;
  const shutdown_report ended = workers.shutdown({.drain = drain, .cancel = options.cancel});
  report.cancelled = report.signal != 0 && ended.cancelled;
  if (!ended.complete) {
    std::fprintf(stderr, "weir: the server does not come to its end:\n%s", ended.unfinished.c_str());
    std::_Exit(EXIT_FAILURE);
  }
  if (failure) std::rethrow_exception(failure);
  return report;
}

}  // namespace weir::detail
