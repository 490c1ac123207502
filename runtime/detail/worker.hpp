#pragma once

#include <ctime>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "../runtime.hpp"
#include "counter.hpp"
#include "dump_signal.hpp"
#include "fork.hpp"
#include "frame_cache.hpp"
#include "group_core.hpp"
#include "inbox.hpp"
#include "offload_pool.hpp"
#include "reactor.hpp"
#include "run_queue.hpp"
#include "scheduler.hpp"
#include "stall_watch.hpp"
#include "timer_wheel.hpp"
#include "wakeup_pause.hpp"

namespace weir::detail {

/// What the kernel says of a length of time.
constexpr duration length_of(const timespec& told) noexcept {
  return std::chrono::seconds(told.tv_sec) + std::chrono::nanoseconds(told.tv_nsec);
}

/// CLOCK_MONOTONIC.
time_point monotonic_now() noexcept;
/// The same as it was at the kernel's latest tick: read in a seventh of the time.
time_point coarse_now() noexcept;

/// Makes the calling thread a worker's while it lives.
class worker_thread {
 public:
  explicit worker_thread(worker& self) noexcept;
  worker_thread(const worker_thread&) = delete;
  worker_thread& operator=(const worker_thread&) = delete;
  ~worker_thread();

 private:
  worker* before_;
};

/// One thread that runs tasks, with its reactor, run queue, timers, inbox and frame cache.
class worker {
 public:
  worker(runtime_core& core, unsigned index);
  worker(const worker&) = delete;
  worker& operator=(const worker&) = delete;
  ~worker();

  /// On the worker's own thread, before anything else: makes the reactor.
  void attach();
  /// The same thread: where that is a ring, by epoll instead. Nothing has come to it yet.
  void attach_without_ring();
  /// Runs tasks until `done` says so. It is asked between turns.
  template <class F>
  void run_until(F done) {
    while (!done()) turn(done);
  }

  /// Nothing is on its way to this worker.
  [[nodiscard]] bool quiet() const noexcept;

  void wake() noexcept;
  /// Makes `frame` ready here, where no other worker takes it before it has started. Any thread.
  void send(promise_base& frame) noexcept;
  /// Makes the worker look at its condition for going on once more, wherever it is.
  void nudge() noexcept;
  void post(message& m) noexcept;

  [[nodiscard]] runtime_core& core() const noexcept { return core_; }
  [[nodiscard]] unsigned index() const noexcept { return index_; }
  [[nodiscard]] frame_cache& frames() noexcept { return frames_; }
  [[nodiscard]] class reactor& io() noexcept { return *reactor_; }
  [[nodiscard]] timer_wheel& timers() noexcept { return timers_; }
  [[nodiscard]] run_queue& queue() noexcept { return queue_; }
  [[nodiscard]] const void* confined_domain() const noexcept { return confined_domain_; }
  [[nodiscard]] random_numbers& random() noexcept { return random_; }

  /// Milliseconds on the runtime's clock, as they were at the latest turn, modulo 2^32: for ages in reports.
  [[nodiscard]] std::uint32_t tick() const noexcept { return tick_; }

  void make_ready(promise_base& frame) noexcept;
  void make_ready_next(promise_base& frame) noexcept;
  void make_ready_last(promise_base& frame) noexcept;
  void make_ready_spawned(promise_base& frame) noexcept;
  void drain_inbox() noexcept { inbox_.deliver_all(); }
  /// The same until nothing is left: when nobody posts any more, but what is delivered may.
  void empty_inbox() noexcept {
    while (!inbox_.empty()) inbox_.deliver_all();
  }

  /// See runtime_core::abandon().
  void forget_work() noexcept;

  /// What promise_base::home says of frames that wait here.
  [[nodiscard]] std::uint8_t home() const noexcept { return home_; }

  /// Any thread.
  [[nodiscard]] worker_counters counters() const noexcept;

  /// For who watches runs of tasks, a single thread. Where the task that runs had awaited last, or null while none runs
  /// or that is not known. `same`: it is the run that was marked by the call before.
  const void* mark_run(bool& same) noexcept;
  /// The same for others.
  [[nodiscard]] const void* running_at() const noexcept {
    return without_mark(running_at_.load(std::memory_order_relaxed));
  }

  // Raised on the worker's thread; see worker_counters.
  struct {
    counter spawned;
    counter ended;
    counter stopped;
    counter turns;
    counter resumed;
    counter steals;
    counter stolen;
    counter parks;
    counter wakeups;
    counter timers;
  } counted;

  // For hooks; only where there are some.
  [[nodiscard]] const task_hooks* hooks() const noexcept { return hooks_; }
  /// The running strand waits for `child`, which begins to run in its place.
  void tell_begun(const strand& child) noexcept;
  void tell_ended(const strand& running, task_end how) noexcept;
  /// After that, `frame` goes on in its place.
  void tell_continued(const promise_base& frame) noexcept;

  // What the running task changes.
  environment* env = nullptr;
  unsigned budget = 0;
  bool unwinding = false;
  unsigned transfers = 0;                   // without a return to the loop
  std::coroutine_handle<> parked_transfer;  // to be resumed by the loop

 private:
  friend class runtime_core;

  // The lowest bit of an address that has none.
  static const void* without_mark(const void* at) noexcept {
    return reinterpret_cast<const void*>(reinterpret_cast<std::uintptr_t>(at) & ~std::uintptr_t{1});
  }

  void make_reactor(backend_kind kind);

  static constexpr unsigned injected_pick = 61;
  // How many tasks in a row may run before their turn.
  static constexpr unsigned longest_front_streak = 3;

  template <class F>
  void turn(F& done) {
    begin_turn();
    run_ready();
    if (!inbox_.empty()) inbox_.deliver_all();
    if (ready() != 0 || arrivals()) {
      if (reactor_->in_flight() != 0) reactor_->poll();
    } else if (!done()) {
      idle();
    }
    end_turn();
  }
  [[nodiscard]] bool arrivals() const noexcept;
  void begin_turn() noexcept;
  void end_turn() noexcept;

  [[nodiscard]] std::size_t ready() const noexcept { return seeded_ ? seeded_->size() : queue_.size(); }
  void pushed(std::size_t ready) noexcept;
  void run_ready() noexcept;
  promise_base* next_frame() noexcept;
  promise_base* next_from_elsewhere() noexcept;
  promise_base* take_sent() noexcept;
  bool make_ready_elsewhere(promise_base& frame) noexcept;
  void run_seeded() noexcept;
  /// Of leaves that complete at once, so many until it has to let others run.
  void run(promise_base& frame, unsigned completions) noexcept;
  /// The same, told to the hooks.
  void run_told(promise_base& frame, unsigned completions) noexcept;
  void nothing_runs() noexcept;
  /// Of a frame that is not to be resumed.
  [[gnu::noinline]] void begin_unwinding(promise_base& frame) noexcept;
  void unwind(unwind_point point) noexcept;
  void idle() noexcept;
  void idle_in_virtual_time() noexcept;
  enum class rest : std::uint8_t {
    awake,      ///< or woken by whoever has brought something for it
    parked,     ///< in the kernel, or about to be
    to_search,  ///< woken to look for work: it counts as searching from then on
  };
  /// Claims the worker if it is parked: the caller is the one who wakes it.
  [[nodiscard]] bool claim(rest as = rest::awake) noexcept {
    auto parked = rest::parked;
    return rest_.compare_exchange_strong(parked, as, std::memory_order_seq_cst);
  }
  bool steal() noexcept;
  bool find_work() noexcept;
  void end_search() noexcept;
  [[nodiscard]] bool work_is_left() noexcept;
  /// With nothing left to do, before it spins, which is no work: for how long wake-ups are to pause because the last
  /// one has brought too little.
  [[nodiscard]] duration judge_wakeup() noexcept;
  /// Before it parks. If wake-ups are to pause: until when, at the most, it rests and keeps the watch. Otherwise
  /// no_deadline.
  [[nodiscard]] time_point begin_watch(duration pause) noexcept;
  void leave_rest(bool work_elsewhere, bool watching) noexcept;
  bool spin() noexcept;

  runtime_core& core_;
  const unsigned index_;
  const std::uint8_t home_;
  const bool selective_;  // not everything that becomes ready goes to the run queue
  const unsigned tasks_per_turn_;
  std::unique_ptr<class reactor> reactor_;
  std::string why_not_uring_;
  run_queue queue_;
  std::unique_ptr<seeded_queue> seeded_;
  timer_wheel timers_;
  frame_cache frames_;
  const void* const confined_domain_;
  random_numbers random_;
  const task_hooks* const hooks_;
  const strand* told_ = nullptr;  // the strand that runs, where there are hooks
  clockid_t cpu_clock_ = -1;      // of the worker's thread
  inbox inbox_;
  std::uint32_t tick_;
  // Of what runs now: where it had awaited last, or null while nothing runs. Read by other threads, and marked by one:
  // see stall_watch.
  std::atomic<const void*> running_at_{nullptr};
  unsigned until_injected_ = injected_pick;  // picks until one that looks for injected frames first
  unsigned front_streak_ = 0;                // tasks in a row that ran before their turn
  bool front_taken_ = false;                 // the running task has put one before its turn
  spin_lock sent_lock_;
  frame_list sent_;  // for this worker and no other; guarded by sent_lock_
  std::atomic<std::size_t> sent_count_{0};
  bool sent_first_ = false;  // whose turn it is among those from elsewhere
  std::atomic<rest> rest_{rest::awake};
  std::atomic<bool> about_to_run_{false};  // it has ended a search, and begins its next turn with what it has found
  std::atomic<bool> nudged_{false};
  std::atomic<unsigned> posting_{0};          // threads inside post()
  time_point woken_to_search_ = no_deadline;  // since when it is busy with what it was woken for, or has stolen then
  wakeup_pause pause_;
};

/// The worker of this thread, or null. Never read across a suspension: only by functions that no coroutine inlines,
/// because they live in a .cpp of the library.
extern constinit thread_local worker* this_worker [[gnu::tls_model("initial-exec")]];

/// What the workers of a runtime share.
class runtime_core {
 public:
  runtime_core(const runtime_options& options, simulation_options simulation, bool caller_is_worker);
  runtime_core(const runtime_core&) = delete;
  runtime_core& operator=(const runtime_core&) = delete;
  ~runtime_core();

  void start_and_wait(strand& main, promise_base& root, main_latch& latch);
  /// Throws when shut_down() has been called. `what` is "spawn" or "block_on".
  void require_open(const char* what) const;

  [[nodiscard]] bool shared() const noexcept { return shared_; }
  /// Tells it from each other runtime of the process, also from one that is gone and has been where it is.
  [[nodiscard]] std::uint64_t serial() const noexcept { return serial_; }
  /// Do workers take tasks from each other? Otherwise, with several workers, each task stays where it is.
  [[nodiscard]] bool stealing() const noexcept { return stealing_; }
  /// What its threads are called; empty if nobody has said so.
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] const runtime_options& options() const noexcept { return options_; }
  [[nodiscard]] const simulation_options& simulation() const noexcept { return simulation_; }
  [[nodiscard]] time_point now() const noexcept;
  [[nodiscard]] run_trace& trace() noexcept { return trace_; }
  [[nodiscard]] worker& first() noexcept { return *workers_.front(); }
  /// Workers that wait in the kernel, or are about to. Always 0 with one worker.
  [[nodiscard]] unsigned parked() const noexcept { return parked_.load(std::memory_order_relaxed); }
  [[nodiscard]] worker& at(unsigned index) noexcept { return *workers_[index]; }
  [[nodiscard]] std::size_t worker_count() const noexcept { return workers_.size(); }
  /// See worker::mark_run().
  const void* mark_run(unsigned of_worker, bool& same) noexcept { return workers_[of_worker]->mark_run(same); }
  [[nodiscard]] group_core& root() noexcept { return root_; }
  [[nodiscard]] offload_pool& offloads() noexcept { return offloads_; }
  [[nodiscard]] backend_kind backend() const noexcept { return backend_; }
  [[nodiscard]] const std::string& why_not_uring() const noexcept { return why_not_uring_; }

  /// Is this a forked child, and the runtime its parent's?
  [[nodiscard]] bool inherited() const noexcept { return generation_ != fork_generation; }
  /// In a forked child, on the worker `here` that has forked: there is nothing to do any more, and no way to do it.
  void abandon(worker& here, class reactor& instead) noexcept;

  /// From a thread that is no worker of this runtime.
  void inject(promise_base& frame) noexcept;
  /// To `on_error`, or when that is null, as one line to stderr.
  static void report_to(void (*on_error)(const std::exception_ptr&) noexcept,
                        const std::exception_ptr& exception) noexcept;
  void wake_first() noexcept;
  /// `frame` is a new strand's first, before it can run. From a thread that is no worker of this runtime.
  void note_spawned_outside(const promise_base& frame) noexcept;
  /// For hooks: the same.
  void tell_spawned(const promise_base& frame) const noexcept;
  /// What a simulation found when everything waited; empty if it did not.
  [[nodiscard]] const std::string& deadlock_report() const noexcept { return deadlock_report_; }

  /// Milliseconds, modulo 2^32; cheap and a few of them late.
  [[nodiscard]] std::uint32_t coarse_tick() const noexcept;
  [[nodiscard]] time_point deadline_after(duration length) const noexcept;

  // Reports look at tasks while none of them runs.
  [[nodiscard]] bool pausing() const noexcept { return pausing_.load(std::memory_order_relaxed); }
  /// A worker waits here while somebody looks.
  void pause_here() noexcept;
  /// What every task waits for, as text: see dump_tasks(). A worker that does not come to the end of a task within
  /// `patience` cannot be looked past; then only that is told.
  std::string describe_tasks(duration patience);

  /// See weir::counters(). Any thread.
  [[nodiscard]] runtime_counters counters();

  runtime_core* next_runtime = nullptr;  // in the list that begins with first_runtime

  /// See runtime::shutdown(). Not on a worker.
  shutdown_report shut_down(const shutdown_options& options);

 private:
  friend class worker;

  class root_group final : public group_core {
   public:
    root_group() noexcept : group_core(on_failure::isolate) {}
    void open_root(const environment& env, unsigned workers) {
      open(env);
      if (workers == 1) return;
      for (unsigned i = 0; i != workers; ++i) parts_.emplace_back(*this);
      divide(parts_);
    }
    void shut_down() noexcept { state().request(cancellation_cause::shutdown); }
    void give_up() noexcept { state().request(cancellation_cause::deadlock); }
    /// Nothing is left; if something is, the first worker will be nudged when that has gone.
    [[nodiscard]] bool empty_or_notify() noexcept { return drained_or_notify(); }

   private:
    promise_base* drained(optional_guard<spin_lock>& guard) noexcept override {
      guard.unlock();
      env().runtime->wake_first();
      return nullptr;
    }

    std::vector<part> parts_;
  };

  [[nodiscard]] const char* thread_name() const noexcept;
  /// Keeps the calling thread, which is that worker's, on its CPU if so wanted.
  void pin(const worker& self);
  void unpin_caller() noexcept;
  void run_thread(worker& self) noexcept;
  template <class F>
  bool attach_thread(F attach) noexcept;
  void await_attached(std::unique_lock<std::mutex>& lock);
  void agree_on_backend(std::unique_lock<std::mutex>& lock);
  /// In builds with assertions: what was made here and outlives it, to stderr.
  void report_leftovers() const noexcept;
  void run_to_the_end(worker& self) noexcept;
  void wake_everybody() noexcept;
  /// Wakes a worker to search, unless somebody searches already.
  void wake_one() noexcept;
  /// The same unless wake-ups pause. On a worker, for tasks of its own, to which it will come in any case.
  void wake_helper() noexcept {
    if (!wakeups_pause_.load(std::memory_order_seq_cst)) wake_one();
  }
  /// The first of them; more of them go to `rest`, a worker's own queue: half of the picks until it comes again.
  promise_base* take_injected(run_queue& rest) noexcept;
  void on_deadlock();
  /// In a simulation: ends the program with a sentence on any thread but its own.
  void refuse_other_threads() const noexcept;

  const unsigned generation_ = fork_generation;
  const runtime_options options_;
  const simulation_options simulation_;
  const duration kernel_tick_;  // how long CLOCK_MONOTONIC_COARSE stands still
  const bool caller_is_worker_;
  static inline std::atomic<std::uint64_t> last_serial_{0};
  const std::uint64_t serial_ = last_serial_.fetch_add(1, std::memory_order_relaxed) + 1;
  bool shared_ = true;
  bool stealing_ = true;
  std::string name_;
  std::vector<int> cpus_;  // over which pinned workers are spread; empty: they are not pinned
  backend_kind backend_ = backend_kind::automatic;
  std::string why_not_uring_;
  time_point virtual_now_{};
  run_trace trace_;
  const std::thread::id home_ = std::this_thread::get_id();  // of a simulation: the only thread that may touch it
  std::string deadlock_report_;

  std::vector<std::unique_ptr<worker>> workers_;
  std::vector<std::thread> threads_;
  std::unique_ptr<dump_signal> dump_signal_;
  std::unique_ptr<stall_watch> stall_watch_;
  offload_pool offloads_;
  root_group root_;

  std::atomic<unsigned> parked_{0};         // workers that wait in the kernel, or are about to
  std::atomic<unsigned> searching_{0};      // workers that look for work at others, or are being woken to do so
  std::atomic<bool> wakeups_pause_{false};  // a worker rests that will search when its rest ends, at a certain time
  std::atomic<bool> ending_{false};         // the first worker is to cancel and join everything
  std::atomic<bool> leaving_{false};        // everything is joined: the workers are to leave

  spin_lock inject_lock_;
  frame_list injected_;  // guarded by inject_lock_
  counter injections_;   // raised under inject_lock_
  std::atomic<std::uint64_t> outside_spawned_{0};
  std::atomic<std::uint64_t> outside_wakeups_{0};
  std::atomic<std::size_t> injected_count_{0};

  std::mutex looking_mutex_;  // whoever looks at the tasks
  std::atomic<bool> pausing_{false};
  std::mutex pause_mutex_;
  std::condition_variable pause_changed_;
  unsigned paused_workers_ = 0;  // guarded by pause_mutex_

  std::atomic<bool> closed_{false};  // takes no work from outside any more

  std::mutex start_mutex_;
  std::condition_variable started_;
  unsigned attached_ = 0;             // guarded by start_mutex_
  std::exception_ptr start_failure_;  // guarded by start_mutex_
  /// What the other threads do once they have their reactors. Guarded by start_mutex_.
  enum class start_phase : std::uint8_t { attaching, without_ring, begun } start_phase_ = start_phase::attaching;
  std::condition_variable phase_changed_;
};

/// All runtimes of this process, for debuggers: gdb/weir-gdb.py.
extern runtime_core* first_runtime;

inline bool worker::arrivals() const noexcept {
  return core_.injected_count_.load(std::memory_order_relaxed) != 0 || sent_count_.load(std::memory_order_relaxed) != 0;
}

// One that is ready is for this worker; for more there may be another one.
[[gnu::always_inline]] inline void worker::pushed(std::size_t ready) noexcept {
  if (core_.stealing() && ready >= 2) core_.wake_helper();
}

inline void worker::make_ready(promise_base& frame) noexcept {
  if (selective_ && make_ready_elsewhere(frame)) return;
  pushed(queue_.push_woken(frame));
}

inline void worker::make_ready_last(promise_base& frame) noexcept {
  if (seeded_) {
    seeded_->push(frame);
    return;
  }
  pushed(queue_.push_last(frame));
}

inline void worker::make_ready_next(promise_base& frame) noexcept {
  if (selective_ && make_ready_elsewhere(frame)) return;
  if (front_taken_ || front_streak_ >= longest_front_streak) {
    pushed(queue_.push_woken(frame));
    return;
  }
  front_taken_ = true;
  pushed(queue_.push_front(frame));
}

inline void worker::make_ready_spawned(promise_base& frame) noexcept {
  if (seeded_) {
    seeded_->push(frame);
    return;
  }
  queue_.push_spawned(frame);
  if (core_.stealing()) core_.wake_helper();
}

inline void runtime_core::note_spawned_outside(const promise_base& frame) noexcept {
  outside_spawned_.fetch_add(1, std::memory_order_relaxed);
  if (options_.hooks) tell_spawned(frame);
}

inline void worker::begin_turn() noexcept {
  if (core_.pausing()) core_.pause_here();
  about_to_run_.store(false, std::memory_order_relaxed);
}

inline void worker::end_turn() noexcept {
  counted.turns.add();
  if (!timers_.empty()) counted.timers.add(timers_.advance(clock::now()));
  tick_ = core_.coarse_tick();
}

}  // namespace weir::detail
