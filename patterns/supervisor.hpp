#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../runtime/clock.hpp"
#include "../runtime/detail/config.hpp"
#include "../runtime/detail/function.hpp"
#include "../runtime/task.hpp"
#include "../runtime/task_group.hpp"
#include "../sync/event.hpp"

namespace weir {

/// Which children begin anew when one of them does.
enum class restart_strategy : std::uint8_t {
  one_for_one,   ///< that one
  one_for_all,   ///< all: the others are stopped before
  rest_for_one,  ///< that one and those that were added after it, which are stopped before
};

/// When a child that has ended begins anew.
enum class child_restart : std::uint8_t {
  permanent,  ///< always
  transient,  ///< when it has failed
  temporary,  ///< never
};

struct supervisor_options {
  restart_strategy strategy = restart_strategy::one_for_one;
  /// With more restarts than this within `period` the supervisor gives up, and fails.
  unsigned most_restarts = 3;
  duration period = std::chrono::seconds(5);
  /// How long a child waits before it begins anew; twice as long for each further restart, up to `most_delay`. A child
  /// that has run for longer than `period` begins with this again.
  duration first_delay = std::chrono::milliseconds(10);
  duration most_delay = std::chrono::seconds(1);
  /// Each of them is longer by up to this share of it, at random: so that children who lost the same service, here and
  /// in other processes, do not all come back to it at once.
  double jitter = 0;
};
static_assert(detail::trivially_destructible<supervisor_options>);

struct child_options {
  child_restart restart = child_restart::permanent;
  /// When children are stopped one after the other, the next one's turn comes when this one has ended, but not later
  /// than this. It is waited for in any case.
  duration stop_limit = std::chrono::seconds(5);
};
static_assert(detail::trivially_destructible<child_options>);

enum class child_state : std::uint8_t { waiting, running, stopping, ended };

/// A child and its past.
struct child_status {
  std::string name;
  child_state state = child_state::waiting;  ///< waiting: before its start, or for its restart
  std::uint64_t starts = 0;
  std::uint64_t failures = 0;
  std::exception_ptr last_failure;
};

/// Thrown by supervisor::run() when children have failed too often.
class restart_limit_exceeded : public std::runtime_error {
 public:
  restart_limit_exceeded(const std::string& sentence, std::string child, std::exception_ptr failure)
      : std::runtime_error(sentence), child_(std::move(child)), failure_(std::move(failure)) {}
  /// The last one that has ended.
  [[nodiscard]] const std::string& child() const noexcept { return child_; }
  /// How: null if it returned.
  [[nodiscard]] const std::exception_ptr& failure() const noexcept { return failure_; }

 private:
  std::string child_;
  std::exception_ptr failure_;
};

/// Keeps tasks running that may fail: each child is started, and started again when it ends, as its kind and the
/// strategy say; too many restarts in a short time are a failure of the whole, which whoever supervises that one may
/// answer.
///
///     weir::supervisor children({.strategy = weir::restart_strategy::one_for_all});
///     children.add("reader", [&] { return read_all(queue); });
///     children.add("writer", [&] { return write_all(queue); }, {.restart = weir::child_restart::transient});
///     co_await children.run();
///
/// Children are started in the order in which they were added, without waiting for what one does first (a service does
/// that), and stopped one after the other in the reverse order. A supervisor is a child of another one by its run().
/// Failures are counted and kept; each is given to the observer, or where there is none to runtime_options::on_error.
/// (weir::with_supervisor is the small form, without restarts.)
///
/// After Erlang/OTP, "Design Principles: Supervisor Behaviour"; the default intensity is Elixir's. OTP has no delay.
class supervisor {
 public:
  /// Throws std::invalid_argument for delays, a period or a jitter that are negative.
  explicit supervisor(const supervisor_options& options = {});
  supervisor(const supervisor&) = delete;
  supervisor& operator=(const supervisor&) = delete;
  ~supervisor();

  /// `start()` returns a task: the child's life. It is called again for each restart. It is started at once while run()
  /// runs. Any thread. Throws std::invalid_argument when there is a child of that name that has not ended for good.
  void add(std::string name, std::function<task<>()> start, const child_options& options = {});

  /// Called when a child has ended, in the supervisor's task: with its name and its failure, which is null when it
  /// returned; must not throw. Set it before run().
  void observe(std::function<void(std::string_view, const std::exception_ptr&)> observer);

  /// Runs the children, and completes when all have ended for good, or stop() was called and all have ended. Throws
  /// restart_limit_exceeded after the others were stopped, and std::logic_error when it is running already.
  ///
  /// Cancelled: the children are stopped, last first, and joined; then it stops.
  [[nodiscard]] task<> run();
  /// Stops the children, last first. Idempotent; any thread; does not wait.
  void stop() noexcept;

  [[nodiscard]] std::vector<child_status> children() const;
  /// Restarts so far, of all children, those included that only began anew because of others.
  [[nodiscard]] std::uint64_t restarts() const noexcept { return restarts_.load(std::memory_order_relaxed); }

 private:
  struct child;
  using shared_child = std::shared_ptr<child>;
  class manager;

  const supervisor_options options_;
  std::function<void(std::string_view, const std::exception_ptr&)> observer_;
  event stopping_;
  event changed_{reset_mode::automatic};
  std::atomic<bool> running_{false};
  std::atomic<std::uint64_t> restarts_{0};
  mutable std::mutex lock_;
  std::vector<shared_child> children_;  // guarded by lock_, as what is in a child's status
};

}  // namespace weir
