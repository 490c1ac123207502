#pragma once

#include <array>
#include <concepts>
#include <csignal>
#include <type_traits>
#include <utility>

#include "../runtime/as_result.hpp"
#include "../runtime/cancellation.hpp"
#include "../runtime/detail/config.hpp"
#include "../runtime/detail/function.hpp"
#include "../runtime/detail/invoke.hpp"
#include "../runtime/detail/light_std.hpp"
#include "../runtime/detail/slot.hpp"
#include "../runtime/runtime.hpp"
#include "../runtime/sleep.hpp"
#include "../runtime/task_group.hpp"
#include "signal_set.hpp"

namespace weir {

/// How until_signal() and run_until_signal() wait, and for what.
struct until_signal_options {
  /// The signals that end it; 0 is none.
  std::array<int, 4> signals = {SIGINT, SIGTERM, 0, 0};
  /// For what runs to end by itself, once the signal has come.
  duration drain = std::chrono::seconds(30);
  /// For what runs to end once it was cancelled. Only for run_until_signal(): a task waits for what it has started.
  duration cancel = std::chrono::seconds(5);
};
static_assert(detail::trivially_destructible<until_signal_options>);

/// How it ended.
struct signal_report {
  /// The signal that has come; 0 when the server ended by itself.
  int signal = 0;
  /// Whether something had to be cancelled because it had not ended within `drain`.
  bool cancelled = false;
};

namespace detail {

template <class F>
concept server_function = std::invocable<std::decay_t<F>&, cancellation_token> &&
                          is_task<std::invoke_result_t<std::decay_t<F>&, cancellation_token>>;

/// From its construction on the signals do not end the process. Throws std::invalid_argument if there is none.
signal_set watch_signals(const until_signal_options& options);
/// Waits for one of the signals, lets go of them, and cancels `stopping`.
task<> stop_on_signal(slot<signal_set> signals, cancellation_source& stopping, int& signal);

signal_report run_until_signal(const std::function<task<>(cancellation_token)>& serve,
                               const until_signal_options& options, const runtime_options& runtime);

template <class F>
task<signal_report> until_signal(F serve, until_signal_options options) {
  signal_report report;
  cancellation_source stopping;
  slot<signal_set> signals;
  signals.emplace(watch_signals(options));  // before `serve` runs, and says that it is ready
  const auto body = [&](task_group& group) -> task<> {
    auto serving = group.spawn(std::ref(serve), stopping.token());
    const auto watch = [&]() -> task<> {
      co_await stop_on_signal(std::move(signals), stopping, report.signal);
      co_await sleep_for(options.drain);
      report.cancelled = true;
      serving.request_cancellation();
    };
    auto watching = group.spawn(watch);
    auto ended = co_await as_result(serving.join());
    watching.request_cancellation();
    co_await group.join();
    static_cast<void>(ended);  // a failure leaves with the group
  };
  co_await with_task_group(body);
  co_return report;
}

}  // namespace detail

/// Runs `serve(stopping)`, a function that returns a task, until that ends or one of the signals comes. Then the token
/// `stopping` is cancelled, and `serve` has `options.drain` to come to its end: to take no more connections, and to
/// finish what it has. After that it is cancelled. Completes with how that went; rethrows what `serve` throws.
///
///     weir::task<> serve(weir::cancellation_token stopping) {
///       auto listener = weir::tcp_listener::bind(weir::endpoint::any(8080));
///       auto accept_all = [&](weir::task_group& connections) -> weir::task<> {
///         for (;;) {
///           auto stream = co_await as_result(weir::with_cancellation(stopping, listener.accept()));
///           if (!stream) break;  // stopping: the group waits for the connections that there are
///           connections.spawn(handle, std::move(*stream));
///         }
///       };
///       co_await weir::with_supervisor(accept_all);
///     }
///
/// From the first signal on they do again what they did before: a second one ends the process. In a simulation,
/// simulation::raise() sends them. Cancelled: `serve` is stopped.
template <detail::server_function F>
auto until_signal(F&& serve, until_signal_options options = {}) {
  WEIR_DETAIL_REQUIRE_NAMED(F);
  return detail::until_signal<std::decay_t<F>>(std::forward<F>(serve), options);
}

/// The whole of a server's main(): makes a runtime, runs until_signal() in it, and ends it orderly.
///
///     int main() { weir::run_until_signal(serve); }
///
/// After the signal `serve`, and whatever else runs in the runtime, has `options.drain` to end by itself; what is left
/// is cancelled (cause: shutdown) and has `options.cancel`. What has not ended then is written to stderr, as by
/// dump_tasks(), and the process ends with EXIT_FAILURE, because nothing would end it otherwise. Returns how it went;
/// rethrows what `serve` throws. Not inside of a task (std::logic_error). Blocks the calling thread, which must not
/// block the signals.
template <detail::server_function F>
signal_report run_until_signal(F serve, until_signal_options options = {}, runtime_options runtime = {}) {
  const auto run = [&serve](cancellation_token stopping) -> task<> {
    static_cast<void>(co_await detail::invoke(serve, stopping));
  };
  return detail::run_until_signal(run, options, runtime);
}

}  // namespace weir
