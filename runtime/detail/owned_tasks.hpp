#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <utility>
#include <vector>

#include "../cancellation.hpp"
#include "../spawn.hpp"
#include "../task.hpp"
#include "invoke.hpp"
#include "spin_lock.hpp"
#include "take.hpp"

namespace weir {
class task_group;
}

namespace weir::detail {

/// The tasks of an object that has some: a worker pool, an actor, a batcher. They are children of a group of their own
/// inside the runtime's own one, with its token and no deadline, whoever starts them; what they work on they share with
/// the object, by pointers that count. The object holds one of these:
///
///     class pool {
///      public:
///       bool submit(job j) {
///         if (!started_.exchange(true)) for (...) tasks_.spawn(work, shared_);
///         return shared_->jobs.try_send(std::move(j));
///       }
///       weir::task<> shutdown() {                      // no more jobs, then wait for those that are there
///         shared_->jobs.close();
///         co_await tasks_.shutdown();
///       }
///      private:
///       std::shared_ptr<shared> shared_;
///       owned_tasks tasks_;
///     };
///
/// Destroyed without shutdown(), it cancels them and does not wait: the runtime joins them at its end, and they refer
/// to nothing but what they share and what outlives run(). The destructor may run anywhere: in a task, on any thread,
/// while the runtime ends and after that. Nothing is started, and nothing allocated but the shared record, before the
/// first spawn().
///
/// Failures: a task that fails ends alone. The first failure is kept, and rethrown by shutdown(); when nobody calls
/// that, and for later ones, it goes to runtime_options::on_error. failures() counts all.
class owned_tasks {
 public:
  /// Belongs to the runtime of the task that makes it. Made outside of tasks: to that of the task that is the first to
  /// spawn().
  owned_tasks();
  owned_tasks(owned_tasks&& other) noexcept = default;
  owned_tasks& operator=(owned_tasks&& other) noexcept;
  ~owned_tasks();

  /// Starts `callable(arguments...)`, a function that returns a task; it and its arguments live as long as that. Any
  /// thread while the runtime lives, several at once. False, and nothing is started, after shutdown() or cancel(), and
  /// when the runtime ends. Allocates two frames and a record, recycled.
  template <class F, class... Args>
    requires task_function<F, Args...>
  bool spawn(F&& callable, Args&&... arguments) {
    WEIR_DETAIL_REQUIRE_NAMED(F);
    // Made before anything is locked, and when it is refused, destroyed after that: both run code of the caller's.
    task<> child = run_one<std::decay_t<F>, std::decay_t<Args>...>(state_, counted(*state_), std::forward<F>(callable),
                                                                   std::forward<Args>(arguments)...);
    return start(child);
  }

  /// Takes no more tasks, and completes when all have ended by themselves; rethrows the first failure. One caller at a
  /// time; a second call completes at once. Cancelled: it stops, the tasks go on, and it may be called again.
  [[nodiscard]] task<> shutdown();
  /// Takes no more tasks, and stops those that there are. Any thread; does not wait.
  void cancel() noexcept;

  /// Tasks that have not ended. A hint where others spawn.
  [[nodiscard]] std::size_t size() const noexcept { return state_->running.load(std::memory_order_acquire); }
  /// Tasks that ended with an exception so far.
  [[nodiscard]] std::size_t failures() const noexcept { return state_->failures.load(std::memory_order_acquire); }

 private:
  enum class admission : std::uint8_t {
    not_started,  // nobody has spawned
    starting,     // the keeper is on its way: tasks are put aside for it
    open,
    closed,
  };

  struct state {
    ~state();
    void note(std::exception_ptr failure) noexcept;
    [[nodiscard]] std::exception_ptr take_failure() noexcept;

    spin_lock lock;
    admission admits = admission::not_started;  // guarded by lock
    task_group* group = nullptr;                // guarded by lock; while open
    std::vector<task<>> put_aside;              // guarded by lock; while starting
    bool failed = false;                        // guarded by lock
    std::exception_ptr first_failure;           // guarded by lock; until somebody has it
    std::atomic<std::size_t> running{0};
    std::atomic<std::size_t> failures{0};
    join_handle<> keeper;                                            // guarded by lock until it has started
    runtime_core* runtime = nullptr;                                 // the same
    void (*on_error)(const std::exception_ptr&) noexcept = nullptr;  // what of the runtime outlives it
    cancellation_source closing;                                     // the doorkeeper is to end
    cancellation_source stopping;                                    // everything is
  };
  using shared_state = std::shared_ptr<state>;

  /// Counts a task from when it was taken until it is gone, however it goes.
  class counted {
   public:
    explicit counted(state& in) noexcept : in_(&in) { in.running.fetch_add(1, std::memory_order_relaxed); }
    counted(counted&& other) noexcept : in_(detail::take(other.in_)) {}
    counted& operator=(counted&&) = delete;
    ~counted() {
      if (in_) in_->running.fetch_sub(1, std::memory_order_release);
    }

   private:
    state* in_;
  };

  template <class F, class... Args>
  static task<> run_one(shared_state owner, counted /*here*/, F callable, Args... arguments) {
    std::exception_ptr failure;
    try {
      static_cast<void>(co_await detail::invoke(callable, std::move(arguments)...));
    } catch (...) {
      failure = std::current_exception();
    }
    if (failure) owner->note(std::move(failure));
  }

  bool start(task<>& child);
  /// In the runtime's group: the group of the tasks, until all have ended.
  static task<> keep(shared_state owner);
  /// The group's first child. While it lives tasks can be spawned; and because the group waits for it, nobody can be
  /// spawning into a group that is about to be left.
  static task<> keep_the_door(shared_state owner, task_group& group);
  static task<> end(shared_state owner);
  static void close(state& of) noexcept;

  shared_state state_;
};

}  // namespace weir::detail
