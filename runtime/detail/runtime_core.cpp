#include <fmt/format.h>
#include <pthread.h>

#include <unistd.h>

#include <algorithm>
#include <climits>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <stdexcept>
#include <thread>

#include "fork.hpp"
#include "machine.hpp"
#include "task_printer.hpp"
#include "worker.hpp"

namespace weir::detail {

constinit runtime_core* first_runtime = nullptr;

namespace {

std::mutex& runtimes_mutex() { return process_mutex<runtime_core>(); }

void enlist(runtime_core& runtime) {
  const std::lock_guard lock(runtimes_mutex());
  runtime.next_runtime = first_runtime;
  first_runtime = &runtime;
}

void delist(const runtime_core& runtime) {
  const std::lock_guard lock(runtimes_mutex());
  runtime_core** at = &first_runtime;
  while (*at != &runtime) at = &(*at)->next_runtime;
  *at = runtime.next_runtime;
}

/// Blocks what belongs to the program's own threads while a thread of ours is started: it inherits the mask.
class signals_blocked {
 public:
  signals_blocked() noexcept {
    sigset_t ours;
    sigfillset(&ours);
    for (int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS, SIGPROF}) sigdelset(&ours, fault);
    pthread_sigmask(SIG_BLOCK, &ours, &before_);
  }
  signals_blocked(const signals_blocked&) = delete;
  signals_blocked& operator=(const signals_blocked&) = delete;
  ~signals_blocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_{};
};

void ignore_sigpipe() noexcept {
  struct sigaction current{};
  if (sigaction(SIGPIPE, nullptr, &current) == 0 && (current.sa_flags & SA_SIGINFO) == 0 &&
      current.sa_handler == SIG_DFL) {
    current.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &current, nullptr);
  }
}

unsigned default_offload_threads() noexcept { return std::max(8u, 4 * usable_cpus()); }

runtime_options checked(runtime_options options, const simulation_options& simulation) {
  if (simulation.enabled) {
    options.workers = 1;
    options.backend = backend_kind::simulated;
  }
  if (options.confined && options.workers > 1) {
    throw std::invalid_argument("weir: a confined runtime has one worker: runtime_options::workers must be 0 or 1");
  }
  if (options.confined) options.workers = 1;
  if (options.workers == 0) options.workers = usable_cpus();
  if (options.workers > 1024) throw std::invalid_argument("weir: runtime_options::workers must be at most 1024");
  // Frames keep their home in a byte.
  if (!options.stealing && options.workers >= promise_base::homeless) {
    throw std::invalid_argument("weir: runtime_options::workers must be at most 254 without stealing");
  }
  if (options.offload_stack_size != 0) {
    if (options.offload_stack_size < static_cast<std::size_t>(PTHREAD_STACK_MIN)) {
      throw std::invalid_argument(
          fmt::format("weir: runtime_options::offload_stack_size must be 0 or at least {} bytes", PTHREAD_STACK_MIN));
    }
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    options.offload_stack_size = (options.offload_stack_size + page - 1) / page * page;
  }
  if (options.lease_buffers == 0 || options.lease_buffers > 32768) {
    throw std::invalid_argument("weir: runtime_options::lease_buffers must be 1 to 32768");
  }
  if (options.lease_size == 0 || options.lease_size > std::size_t{1} << 30) {
    throw std::invalid_argument("weir: runtime_options::lease_size must be 1 to 2^30 bytes");
  }
  if (options.dump_signal != 0) dump_signal::check(options.dump_signal);
  if (options.tasks_per_turn == 0) options.tasks_per_turn = 1;
  if (options.offload_threads == 0) options.offload_threads = default_offload_threads();
  return options;
}

duration coarse_clock_step() noexcept {
  timespec ts{};
  clock_getres(CLOCK_MONOTONIC_COARSE, &ts);
  return length_of(ts);
}

}  // namespace

runtime_core::runtime_core(const runtime_options& options, simulation_options simulation, bool caller_is_worker)
    : options_(checked(options, simulation)),
      simulation_(simulation),
      kernel_tick_(coarse_clock_step()),
      caller_is_worker_(caller_is_worker),
      shared_(options_.workers > 1),
      stealing_(shared_ && options_.stealing),
      name_(options_.name ? options_.name : ""),
      cpus_(options_.pin_workers && !simulation.enabled ? allowed_cpus() : std::vector<int>()),
      offloads_({options_.offload_threads, options_.offload_stack_size, thread_name(), cpus_}) {
  watch_forks();
  if (!options_.keep_sigpipe) ignore_sigpipe();
  environment env;
  env.runtime = this;
  root_.open_root(env, options_.workers);
  for (unsigned i = 0; i < options_.workers; ++i) workers_.push_back(std::make_unique<worker>(*this, i));

  if (caller_is_worker_) {
    pin(first());
    try {
      first().attach();
    } catch (...) {
      unpin_caller();
      throw;
    }
  }
  const unsigned here = caller_is_worker_ ? 1 : 0;
  std::unique_lock lock(start_mutex_);
  {
    const signals_blocked guard;
    for (unsigned i = here; i < options_.workers; ++i) {
      try {
        threads_.emplace_back([this, i] { run_thread(*workers_[i]); });
      } catch (...) {
        start_failure_ = std::current_exception();
        break;
      }
    }
  }
  await_attached(lock);
  if (!start_failure_) agree_on_backend(lock);
  if (!start_failure_ && !simulation_.enabled) {
    const signals_blocked guard;
    try {
      if (options_.dump_signal != 0) dump_signal_ = std::make_unique<dump_signal>(options_.dump_signal, *this);
      if (options_.stall_limit > duration::zero()) {
        stall_watch_ = std::make_unique<stall_watch>(*this, options_.stall_limit);
      }
    } catch (...) {
      start_failure_ = std::current_exception();
    }
  }
  if (start_failure_) leaving_.store(true);
  start_phase_ = start_phase::begun;
  phase_changed_.notify_all();
  if (start_failure_) {
    lock.unlock();
    wake_everybody();
    for (std::thread& thread : threads_) thread.join();
    if (caller_is_worker_) {
      if (first().reactor_) first().io().shut_down();
      unpin_caller();
    }
    std::rethrow_exception(start_failure_);
  }
  backend_ = first().io().kind();
  enlist(*this);
}

void runtime_core::await_attached(std::unique_lock<std::mutex>& lock) {
  started_.wait(lock, [this] { return attached_ == threads_.size(); });
}

// A limit of the user's, or of the system's, may leave room for some of the rings: what backend() says has to be true
// of every worker.
void runtime_core::agree_on_backend(std::unique_lock<std::mutex>& lock) {
  std::size_t refused = 0;
  for (const auto& w : workers_) {
    if (w->why_not_uring_.empty()) continue;
    if (++refused == 1) why_not_uring_ = w->why_not_uring_;
  }
  if (refused == 0 || refused == workers_.size()) return;
  why_not_uring_ += fmt::format(", for {} of {} workers", refused, workers_.size());
  attached_ = 0;
  start_phase_ = start_phase::without_ring;
  phase_changed_.notify_all();
  if (caller_is_worker_) {
    try {
      first().attach_without_ring();
    } catch (...) {
      start_failure_ = std::current_exception();
    }
  }
  await_attached(lock);
}

runtime_core::~runtime_core() {
  if (caller_is_worker_) {
    run_to_the_end(first());
    first().io().shut_down();
    unpin_caller();
  } else {
    ending_.store(true, std::memory_order_seq_cst);
    wake_everybody();
  }
  for (std::thread& thread : threads_) thread.join();
  delist(*this);
  stall_watch_.reset();
  dump_signal_.reset();  // until now: an end that hangs is worth a look
  report_leftovers();
}

void runtime_core::report_leftovers() const noexcept {
  try {
    const remaining_frames left = frames_left_by(*this);
    if (left.count == 0) return;
    const bool one = left.count == 1;
    const std::string text =
        fmt::format("weir: a runtime has ended, and {} that {} made in it {} still held by somebody:\n{}",
                    one ? "a coroutine" : fmt::format("{} coroutines", left.count), one ? "was" : "were",
                    one ? "is" : "are", left.lines);
    std::fputs(text.c_str(), stderr);
  } catch (const std::exception&) {  // out of memory: then it is not told
  }
}

const char* runtime_core::thread_name() const noexcept { return name_.empty() ? "weir" : name_.c_str(); }

void runtime_core::pin(const worker& self) {
  if (cpus_.empty()) return;
  const int cpu = cpus_[self.index() % cpus_.size()];
  if (const int error = stay_on({&cpu, 1}); error != 0) {
    throw std::system_error(error, std::generic_category(), fmt::format("runtime_options::pin_workers, CPU {}", cpu));
  }
}

void runtime_core::unpin_caller() noexcept {
  if (!cpus_.empty()) static_cast<void>(stay_on(cpus_));
}

template <class F>
bool runtime_core::attach_thread(F attach) noexcept {
  bool attached = true;
  try {
    attach();
  } catch (...) {
    attached = false;
    const std::lock_guard lock(start_mutex_);
    if (!start_failure_) start_failure_ = std::current_exception();
  }
  const std::lock_guard lock(start_mutex_);
  ++attached_;
  started_.notify_one();
  return attached;
}

void runtime_core::run_thread(worker& self) noexcept {
  name_this_thread(thread_name(), std::to_string(self.index()));
  const bool attached = attach_thread([&] {
    pin(self);
    self.attach();
  });
  if (!attached) return;
  start_phase seen = start_phase::attaching;
  const auto next_phase = [&] {
    std::unique_lock lock(start_mutex_);
    phase_changed_.wait(lock, [&] { return start_phase_ != seen; });
    return seen = start_phase_;
  };
  if (next_phase() == start_phase::without_ring) {
    if (!attach_thread([&] { self.attach_without_ring(); })) return;
    next_phase();
  }
  const worker_thread here(self);
  if (&self == &first()) {
    // Acquire: whoever sees it may then wake the others, whose reactors were made before it was set.
    self.run_until(
        [this] { return ending_.load(std::memory_order_acquire) || leaving_.load(std::memory_order_acquire); });
    if (!leaving_.load()) run_to_the_end(self);
  } else {
    self.run_until([this] { return leaving_.load(std::memory_order_acquire); });
  }
  self.empty_inbox();
  self.io().shut_down();
}

void runtime_core::run_to_the_end(worker& self) noexcept {
  const worker_thread here(self);
  root_.shut_down();
  self.run_until([this, &self] { return root_.empty_or_notify() && self.quiet(); });
  self.empty_inbox();
  leaving_.store(true, std::memory_order_seq_cst);
  wake_everybody();
}

void runtime_core::wake_everybody() noexcept {
  for (const auto& w : workers_) {
    if (w->reactor_) w->nudge();
  }
}

void runtime_core::wake_first() noexcept { first().nudge(); }

void runtime_core::start_and_wait(strand& main, promise_base& root, main_latch& latch) {
  if (current_worker()) {
    throw std::logic_error(
        "weir: run, block_on or simulation::run was called inside a task, whose worker it would block: co_await the "
        "task instead");
  }
  if (!caller_is_worker_) {
    root_.add(main, root);
    latch.wait();
    return;
  }
  worker& self = first();
  const worker_thread here(self);
  root_.add(main, root);
  self.run_until([&latch] { return latch.is_set(); });
}

void runtime_core::require_open(const char* what) const {
  if (inherited()) refuse_in_forked_child();
  if (closed_.load(std::memory_order_acquire)) {
    throw std::logic_error(fmt::format("weir: {} after runtime::shutdown(): it takes no more work", what));
  }
}

std::uint32_t runtime_core::coarse_tick() const noexcept {
  const time_point at = simulation_.enabled ? virtual_now_ : coarse_now();
  return static_cast<std::uint32_t>(at.time_since_epoch() / std::chrono::milliseconds(1));
}

void runtime_core::pause_here() noexcept {
  std::unique_lock lock(pause_mutex_);
  if (!pausing_.load(std::memory_order_relaxed)) return;
  ++paused_workers_;
  pause_changed_.notify_all();
  pause_changed_.wait(lock, [this] { return !pausing_.load(std::memory_order_relaxed); });
  --paused_workers_;
  pause_changed_.notify_all();
}

std::string runtime_core::describe_tasks(duration patience) {
  if (inherited()) refuse_in_forked_child();
  const worker* const here = current_worker();
  const bool from_inside = here && &here->core() == this;
  std::unique_lock looking(looking_mutex_, std::defer_lock);
  // Two tasks that look at once must not wait for each other.
  while (!looking.try_lock()) {
    if (from_inside) pause_here();
    std::this_thread::yield();
  }
  const std::size_t others = workers_.size() - (from_inside ? 1 : 0);
  std::unique_lock lock(pause_mutex_);
  pausing_.store(true, std::memory_order_relaxed);
  lock.unlock();
  wake_everybody();
  lock.lock();
  const bool all = pause_changed_.wait_for(lock, patience, [&] { return paused_workers_ == others; });
  lock.unlock();

  std::string text;
  if (all) {
    task_printer printer(coarse_tick());
    std::string counts;
    for (const auto& w : workers_) {
      const auto note = [&printer](const promise_base& frame) { printer.ready(frame); };
      w->seeded_ ? w->seeded_->for_each(note) : w->queue_.for_each(note);
      {
        const std::lock_guard guard(w->sent_lock_);
        for (const promise_base* frame = w->sent_.first(); frame; frame = frame->next) note(*frame);
      }
      counts += fmt::format("worker {}: {} ready, {} I/O operations in flight\n", w->index(), w->ready(),
                            w->reactor_->in_flight());
    }
    {
      const std::lock_guard guard(inject_lock_);
      for (const promise_base* frame = injected_.first(); frame; frame = frame->next) printer.ready(*frame);
    }
    root_.visit(printer);
    text = fmt::format("{}{} task{} on {} ({})\n{}{}", name_.empty() ? "" : name_ + ": ", printer.tasks(),
                       printer.tasks() == 1 ? "" : "s",
                       workers_.size() == 1 ? "1 worker" : fmt::format("{} workers", workers_.size()),
                       to_string(backend_), counts, printer.text());
  } else {
    text = fmt::format("{}tasks cannot be shown: a worker has not come to the end of a task within {} ms\n",
                       name_.empty() ? "" : name_ + ": ", patience / std::chrono::milliseconds(1));
    for (const auto& w : workers_) {
      const void* const at = w->running_at();
      if (w.get() == here || !at) continue;
      const std::source_location last = location_at(at);
      text += fmt::format("worker {} runs a task that awaited last in {} at {}:{}\n", w->index(), last.function_name(),
                          last.file_name(), last.line());
    }
  }

  lock.lock();
  pausing_.store(false, std::memory_order_relaxed);
  pause_changed_.notify_all();
  // The next one who looks counts from zero again.
  pause_changed_.wait(lock, [this] { return paused_workers_ == 0; });
  return text;
}

runtime_counters runtime_core::counters() {
  runtime_counters now;
  now.workers.reserve(workers_.size());
  for (const auto& w : workers_) {
    now.workers.push_back(w->counters());
    now.total += now.workers.back();
  }
  now.outside.spawned = outside_spawned_.load(std::memory_order_relaxed);
  now.outside.wakeups = outside_wakeups_.load(std::memory_order_relaxed);
  now.total += now.outside;
  now.injected = injections_.read();
  now.offload = offloads_.counters();
  return now;
}

shutdown_report runtime_core::shut_down(const shutdown_options& options) {
  if (inherited()) refuse_in_forked_child();
  if (current_worker()) {
    throw std::logic_error(
        "weir: runtime::shutdown was called inside a task, for whose end it would wait: call it from the thread that "
        "owns the runtime");
  }
  closed_.store(true, std::memory_order_release);
  const auto ends_within = [this](duration limit) {
    const time_point until = add_saturated(monotonic_now(), limit);
    auto pause = std::chrono::microseconds(100);
    while (root_.size() != 0) {
      if (monotonic_now() >= until) return false;
      std::this_thread::sleep_for(pause);
      pause = std::min(2 * pause, std::chrono::microseconds(5000));
    }
    return true;
  };
  shutdown_report report;
  report.complete = ends_within(options.drain);
  if (report.complete) return report;
  report.cancelled = true;
  root_.cancel(cancellation_cause::shutdown);
  report.complete = ends_within(options.cancel);
  if (!report.complete) report.unfinished = describe_tasks(std::chrono::seconds(1));
  return report;
}

void runtime_core::on_deadlock() {
  if (!deadlock_report_.empty()) {
    fatal("weir: a simulation is deadlocked in a shielded section, which cancelling cannot end");
  }
  task_printer printer;
  root_.visit(printer);
  deadlock_report_ = fmt::format("deadlock: {} task{} and no timer is left\n{}", printer.tasks(),
                                 printer.tasks() == 1 ? " waits" : "s wait", printer.text());
  root_.give_up();
}

}  // namespace weir::detail
