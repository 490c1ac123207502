#pragma once

#include <atomic>
#include <concepts>
#include <cstdint>
#include <exception>
#include <mutex>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "../runtime/cancellation.hpp"
#include "../runtime/clock.hpp"
#include "../runtime/detail/config.hpp"
#include "../runtime/detail/function.hpp"
#include "../runtime/detail/owned.hpp"
#include "../runtime/task.hpp"
#include "../runtime/task_group.hpp"
#include "../sync/event.hpp"

namespace weir {

class service;

struct service_options {
  /// From the moment when it is not ready any more until the first component is told: time for load balancers to see
  /// it.
  duration drain_delay{};
  /// For the whole of draining, that delay included. What has not ended by itself then is cancelled.
  duration shutdown_limit = std::chrono::seconds(30);
  /// For a component to end once it was cancelled; then it is named as still running. (It is waited for all the same.)
  duration cancel_limit = std::chrono::seconds(5);
};
static_assert(detail::trivially_destructible<service_options>);

struct component_options {
  /// For a component to be ready; the service fails after that.
  duration start_limit = std::chrono::seconds(30);
  /// For a component to end once it was told to.
  duration drain_limit = std::chrono::seconds(30);
};
static_assert(detail::trivially_destructible<component_options>);

enum class service_state : std::uint8_t { idle, starting, running, draining, stopped };

const char* to_string(service_state state) noexcept;

/// How a service has ended.
struct service_report {
  /// For main() to return: 0 when nothing has failed and nothing had to be cancelled, otherwise 1.
  int exit_code = 0;
  /// The component that has failed first, and how.
  std::string failed;
  std::exception_ptr failure;
  /// Those that were still running when their time was over, and were cancelled, in that order.
  std::vector<std::string> cancelled;
  /// Those of them that were still running cancel_limit after that.
  std::vector<std::string> stuck;
};

/// What a component is given to tell how it does, and to be told to end. Any thread may tell.
class service_component {
 public:
  service_component(const service_component&) = delete;
  service_component& operator=(const service_component&) = delete;

  [[nodiscard]] const std::string& name() const noexcept { return name_; }

  /// It has started: the next component's turn. Later: it can serve again.
  void ready() noexcept { set_ready(true); }
  /// It cannot serve just now, because its connection is gone or its queue full. The service is not ready then.
  void not_ready() noexcept { set_ready(false); }
  /// It is broken, and only a restart of the process will help; or not any more.
  void set_healthy(bool healthy) noexcept { healthy_.store(healthy, std::memory_order_release); }

  /// Completes when the component is to come to its end. Never fails. Cancelled: stops. Selectable.
  [[nodiscard]] auto draining() noexcept WEIR_DETAIL_LIFETIMEBOUND { return drain_.wait(); }
  [[nodiscard]] bool is_draining() const noexcept { return drain_.is_set(); }
  /// Cancelled then: `with_cancellation(self.drain_token(), listener.accept())`.
  [[nodiscard]] cancellation_token drain_token() noexcept WEIR_DETAIL_LIFETIMEBOUND { return draining_.token(); }

 private:
  friend class service;
  service_component(std::string name, std::function<task<>(service_component&)> life, const component_options& options,
                    event& changed);
  void set_ready(bool ready) noexcept;

  const std::string name_;
  const std::function<task<>(service_component&)> life_;
  const component_options options_;
  event& changed_;
  std::atomic<bool> ready_{false};
  std::atomic<bool> healthy_{true};
  event drain_;
  cancellation_source draining_;
  cancellation_source stopping_;
  event ended_;
  std::exception_ptr failure_;  // written before it has ended, read and taken after that
};

/// The life of a server process: components that are started in order, run, and are drained in the reverse order.
///
///     weir::service app({.drain_delay = 5s});
///     app.add("database", [&](weir::service_component& self) -> weir::task<> {
///       auto connection = co_await connect();
///       self.ready();
///       co_await self.draining();               // whoever uses it has ended by then
///       co_await connection.close();
///     });
///     app.add("workers", ...);
///     auto serve = [&](weir::cancellation_token stopping) { return app.run(stopping); };
///     co_await weir::until_signal(serve, ...);
///
/// A component is one task: what stands before ready() is its start, what stands behind draining() its end, and what it
/// owns are its locals. One that returns without ready() counts as started: a migration. When one throws, before or
/// after it was ready, the others are drained and the service has failed.
///
/// The end: first it is not ready; then drain_delay; then each component, last first, is told and has drain_limit, as
/// long as shutdown_limit lasts; what still runs then is cancelled and named. Liveness does not change with any of
/// that: a server that drains is alive, and is_live() is false only while a component says that it is broken.
///
/// Source of the order: Kubernetes, "Termination of Pods"; of the rest, "The Twelve-Factor App", IX (disposability).
class service {
 public:
  explicit service(const service_options& options = {});
  service(const service&) = delete;
  service& operator=(const service&) = delete;
  ~service();

  /// Before run(). Throws std::logic_error after that.
  template <class F>
    requires std::is_invocable_r_v<task<>, F&, service_component&>
  void add(std::string name, F life, const component_options& options = {}) {
    add_component(std::move(name), std::move(life), options);
  }
  /// The same of two functions that return tasks: it is ready when `start()` has ended, and `end()` is called when it
  /// is to end.
  template <class Start, class End>
    requires(std::is_invocable_r_v<task<>, Start&> && std::is_invocable_r_v<task<>, End&>)
  void add(std::string name, Start start, End end, const component_options& options = {}) {
    auto life = [start = std::move(start), end = std::move(end)](service_component& self) mutable -> task<> {
      co_await start();
      self.ready();
      co_await self.draining();
      co_await end();
    };
    add_component(std::move(name), std::move(life), options);
  }

  /// Called with a line for whoever runs the server, at each step: "http: ready", "draining", "http: cancelled, after
  /// 30 s". In the service's task; must not throw. Set it before run().
  void observe(std::function<void(std::string_view)> observer);

  /// Starts the components, and completes with how it went when all have ended: by themselves, after stop(), after
  /// `stopping` was cancelled, or because one has failed. Once only: std::logic_error.
  ///
  /// Cancelled: the components are cancelled, without draining, last first, and joined; then it stops.
  [[nodiscard]] task<service_report> run(cancellation_token stopping = {});
  /// Begins the end. Idempotent; any thread; does not wait.
  void stop() noexcept { stop_.set(); }

  [[nodiscard]] service_state state() const noexcept { return state_.load(std::memory_order_acquire); }
  /// For GET /health: false, 503, means that the process had better be killed. Any thread, as the other two.
  [[nodiscard]] bool is_live() const noexcept;
  /// For GET /ready: whether it takes work: running, and every component says that it is ready.
  [[nodiscard]] bool is_ready() const noexcept;
  /// Components that are running and have not ended.
  [[nodiscard]] std::vector<std::string> running() const;

 private:
  using component = service_component;

  void add_component(std::string name, std::function<task<>(component&)> life, const component_options& options);
  task<service_report> operate(event& told);
  task<> live(component& of);
  task<bool> start_all(task_group& group, event& told);
  task<> run_until_end(event& told);
  task<> end_all(service_report& report, event& told);
  task<> end_one(component& of, time_point limit, service_report& report, event& told);
  /// Whether some component has; looks at those that have ended.
  bool has_failed();
  void note_failure(const component& of, std::exception_ptr failure);
  void tell(const std::string& what) const {
    if (observer_) observer_(what);
  }

  const service_options options_;
  std::function<void(std::string_view)> observer_;
  event stop_;
  event changed_{reset_mode::automatic};  // a component is ready, or has ended
  std::atomic<service_state> state_{service_state::idle};
  std::vector<detail::owned<component>> components_;  // fixed once it runs
  std::atomic<std::size_t> started_{0};               // of them, the first ones
  std::string failed_;
  std::exception_ptr failure_;
};

}  // namespace weir
