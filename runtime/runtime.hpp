#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <utility>

#include "counters.hpp"
#include "detail/config.hpp"
#include "detail/embedded_strand.hpp"
#include "detail/owned.hpp"
#include "detail/reactor.hpp"
#include "spawn.hpp"
#include "stall.hpp"
#include "task.hpp"
#include "task_hooks.hpp"

namespace weir {

/// How a runtime is set up. An aggregate: `weir::run(main(), {.workers = 4})`.
struct runtime_options {
  /// Threads that run tasks, each with a reactor of its own. 0: one per CPU that this process may use (affinity and
  /// cgroup limits are respected).
  unsigned workers = 0;
  /// One worker, and the channels, mutexes and events that it makes stay with it: they use no atomic instructions, and
  /// end the program with a sentence when they are used from elsewhere. Spawning and cancelling from other threads stay
  /// possible. `workers` must be 0 or 1 then.
  bool confined = false;
  /// Workers without work take ready tasks from others. Without it a task stays on the worker on which it was spawned,
  /// or to which spawn_on() has sent it, whoever wakes it, and the queues take no lock; what comes from threads outside
  /// starts on any worker. At most 254 workers then.
  bool stealing = true;
  /// Each worker stays on one CPU of those that this process may use, in their order; more workers than CPUs share
  /// them. With run() that goes for the calling thread too, until the runtime ends. Threads that tasks start inherit
  /// it.
  bool pin_workers = false;
  /// What the threads that the runtime starts are called, for ps, top and debuggers: "NAME/0" for the first worker,
  /// "NAME/offload"; shortened to the 15 bytes that Linux has for it. Reports begin with it, too. Copied. Null: "weir",
  /// and nothing in reports. The thread that calls run() keeps its own name.
  const char* name = nullptr;
  /// Which kernel interface to use. The environment variable WEIR_BACKEND=uring|epoll overrides `automatic`.
  backend_kind backend = backend_kind::automatic;
  /// Entries of each worker's submission queue (io_uring only); rounded up to a power of two, 1 to 32768. More
  /// operations than that may be in flight.
  unsigned ring_entries = 256;
  /// How many buffers each worker has for the receive() of streams, 1 to 32768, which is also how many leases it lends
  /// at a time, and of how many bytes each, 1 to 2^30. They are made by the worker's first receive(), and take memory
  /// only once they have been used: 1 MiB for each such worker at most by default. Who receives while all are lent
  /// waits until one comes home.
  unsigned lease_buffers = 256;
  std::size_t lease_size = 4096;
  /// Most threads for offload(); they are started on demand and end when idle. 0: 4 per CPU, at least 8.
  unsigned offload_threads = 0;
  /// Bytes of stack for each of those, rounded up to whole pages. 0: the system's default, mostly 8 MiB of address
  /// space, of which only what is used takes memory.
  std::size_t offload_stack_size = 0;
  /// How many ready tasks a worker runs before it looks at I/O and timers again.
  unsigned tasks_per_turn = 256;
  /// How long a worker without work looks for some before it parks in the kernel. Waking a parked core
  /// takes long where it has to leave a sleep state or a virtual machine's halt: 50us of spinning can save most of a
  /// lone round trip, and burn a core while they last. Zero: park at once.
  duration spin{};
  /// Gets every exception that nobody else will see (a spawned task's whose handle was dropped, a loser's in when_any).
  /// Called on a worker, or by whoever drops the last handle; must not throw. Null: one line on stderr.
  void (*on_error)(const std::exception_ptr&) noexcept = nullptr;
  /// Told when tasks are spawned, run, wait and end: for tracers. It must outlive the runtime.
  const task_hooks* hooks = nullptr;
  /// A signal on which dump_tasks() goes to stderr, such as SIGUSR1; 0: none. A thread of its own makes the report,
  /// also when all workers are busy: then it names what they run. The signal's disposition is replaced while the
  /// runtime lives. std::invalid_argument for signals that cannot be caught, or tell of a fault. Not in a simulation.
  int dump_signal = 0;
  /// A task that runs for longer than this without suspending holds up all others of its worker, their I/O and their
  /// timers: it is named, once for each time. A thread of its own looks, four times in that span, so what is told has
  /// lasted up to a quarter longer; time in which the worker got no CPU counts, too. Workers do nothing for it. Zero:
  /// no watch. Not in a simulation, where computing takes no time.
  duration stall_limit{};
  /// Gets that, on the thread that watches; must not throw. Null: one line on stderr.
  void (*on_stall)(const stall&) noexcept = nullptr;
  /// Leave SIGPIPE as it is. By default a runtime sets it to "ignore" when it was at its default action, because
  /// writing to a pipe whose reader has gone would end the process.
  bool keep_sigpipe = false;
};
static_assert(detail::trivially_destructible<runtime_options>);

/// How long runtime::shutdown() waits for what.
struct shutdown_options {
  /// For tasks to end by themselves.
  duration drain = std::chrono::seconds(30);
  /// For tasks to end once they have been cancelled.
  duration cancel = std::chrono::seconds(5);
};
static_assert(detail::trivially_destructible<shutdown_options>);

/// How a runtime::shutdown() went.
struct shutdown_report {
  /// Whether every task has ended.
  bool complete = false;
  /// Whether some had to be cancelled for that.
  bool cancelled = false;
  /// Otherwise: what is still running, and what it waits for; see dump_tasks().
  std::string unfinished;
};

namespace detail {

struct simulation_options {
  bool enabled = false;
  std::uint64_t seed = 0;
};

/// Waits outside of the runtime for a strand inside it.
class main_latch {
 public:
  void set() noexcept;
  void wait() noexcept;
  [[nodiscard]] bool is_set() const noexcept { return set_.load(std::memory_order_acquire) != 0; }

 private:
  std::atomic<std::uint32_t> set_{0};
};

/// The first worker may wait in the kernel while the main strand has ended elsewhere.
void wake_main_thread(runtime_core& core) noexcept;

/// The strand of a main task, on the stack of the thread that waits for it.
template <class T>
class main_strand final : public strand {
 public:
  main_strand(task<T>&& body, runtime_core& core) noexcept : body_(std::move(body)), core_(core) {}

  [[nodiscard]] promise_base& root() noexcept override { return body_.root(); }
  [[nodiscard]] main_latch& latch() noexcept { return latch_; }
  T take() {
    if (stopped_because_ != cancellation_cause::none) throw cancelled(stopped_because_);
    return body_.resume();
  }

 private:
  const std::exception_ptr* harvest() noexcept override { return body_.thrown(); }  // it leaves through take()
  void harvest_stopped() noexcept override {
    stopped_because_ = state().cause();
    if (stopped_because_ == cancellation_cause::none) stopped_because_ = cancellation_cause::requested;
  }
  void release() noexcept override {
    runtime_core& core = core_;
    latch_.set();  // from here on this object may be gone
    wake_main_thread(core);
  }

  task<T> body_;
  runtime_core& core_;
  cancellation_cause stopped_because_ = cancellation_cause::none;
  main_latch latch_;
};

}  // namespace detail

/// Workers, their reactors and the tasks that run on them. Most programs use run(); make one yourself to start tasks
/// from threads of your own, or to have several.
///
/// The destructor cancels what still runs (cause: shutdown), joins it and ends the threads.
///
/// A forked child has none of the threads, so it cannot use its parent's runtime: it ends with a sentence at the first
/// spawn, wake-up, wait or call, except for the destructor, which does nothing there. It may make a runtime of
/// its own, unless it was forked inside a task.
class runtime {
 public:
  explicit runtime(runtime_options options = {});
  runtime(const runtime&) = delete;
  runtime& operator=(const runtime&) = delete;
  ~runtime();

  /// Runs `main` on the workers and waits for it; returns its value or throws its exception, or `cancelled` when it was
  /// stopped. Any thread but a worker, several at once.
  template <class T>
  T block_on(task<T> main) {
    require_body(static_cast<bool>(main));
    require_open("block_on");
    detail::main_strand<T> strand(std::move(main), *core_);
    start_and_wait(strand, strand.root(), strand.latch());
    return strand.take();
  }

  /// Starts a task in the runtime's own group, from any thread. Throws std::logic_error after shutdown().
  template <class T>
  join_handle<T> spawn(task<T>&& body, std::source_location where = std::source_location::current()) {
    require_open("spawn");
    return detail::spawn_task(root(), std::move(body), where);
  }
  template <class F, class... Args>
    requires detail::task_function<F, Args...>
  auto spawn(F&& callable, Args&&... args) {
    WEIR_DETAIL_REQUIRE_NAMED(F);
    require_open("spawn");
    return detail::spawn_call(root(), detail::any_worker, std::forward<F>(callable), std::forward<Args>(args)...);
  }

  /// The same, but the task starts on the worker with this index, from 0. With runtime_options::stealing it may go on
  /// elsewhere after its first suspension; without, it stays there. Throws std::out_of_range when there is no such
  /// worker.
  template <class T>
  join_handle<T> spawn_on(unsigned worker, task<T>&& body,
                          std::source_location where = std::source_location::current()) {
    require_open("spawn_on");
    detail::require_worker(*core_, worker);
    return detail::spawn_task(root(), std::move(body), where, worker);
  }
  template <class F, class... Args>
    requires detail::task_function<F, Args...>
  auto spawn_on(unsigned worker, F&& callable, Args&&... args) {
    WEIR_DETAIL_REQUIRE_NAMED(F);
    require_open("spawn_on");
    detail::require_worker(*core_, worker);
    return detail::spawn_call(root(), worker, std::forward<F>(callable), std::forward<Args>(args)...);
  }

  /// Ends orderly: takes no more work from outside, waits for the tasks to end, cancels (cause: shutdown) what has not
  /// ended within `drain`, and tells what has not ended within `cancel` after that, which the destructor will still
  /// wait for. Blocks; not on a worker, which would wait for itself (std::logic_error). May be called again.
  shutdown_report shutdown(const shutdown_options& options = {});

  /// What every task of this runtime does now: see weir::dump_tasks(). Any thread.
  [[nodiscard]] std::string dump_tasks() const;

  /// What its workers have done so far: see weir::counters(). Any thread.
  [[nodiscard]] runtime_counters counters() const;

  [[nodiscard]] unsigned workers() const noexcept;
  /// What was chosen: uring or epoll (simulated in a simulation).
  [[nodiscard]] backend_kind backend() const noexcept;
  /// Why io_uring is not used: which call was refused and what to change; empty when it is used or was not wanted.
  [[nodiscard]] const std::string& why_not_uring() const noexcept;
  /// In a simulation that found a deadlock: who waits where. Empty otherwise.
  [[nodiscard]] const std::string& deadlock_report() const noexcept;

 private:
  friend class runtime_access;
  struct caller_is_worker {};
  runtime(runtime_options options, caller_is_worker, detail::simulation_options simulation);

  static void require_body(bool valid);
  void require_open(const char* what) const;
  detail::group_core& root() noexcept;
  void start_and_wait(detail::strand& main, detail::promise_base& root, detail::main_latch& latch);

  detail::owned<detail::runtime_core> core_;
};

/// Makes a runtime whose first worker is the calling thread, and shows its inside. For run() and simulation.
class runtime_access {
 public:
  static runtime make(runtime_options options, detail::simulation_options simulation) {
    return runtime(options, runtime::caller_is_worker{}, simulation);
  }
  static detail::runtime_core& core(runtime& of) noexcept { return *of.core_; }
};

/// Runs `main` to its end in a runtime of its own and returns its value or throws its exception. The calling thread is
/// one of the workers. When main ends, what it has spawned is cancelled (cause: shutdown) and joined.
template <class T>
T run(task<T> main, runtime_options options = {}) {
  runtime owner = runtime_access::make(options, {});
  return owner.block_on(std::move(main));
}

/// The same as run(): for those who look for it by this name.
template <class T>
T block_on(task<T> main, runtime_options options = {}) {
  return run(std::move(main), options);
}

}  // namespace weir
