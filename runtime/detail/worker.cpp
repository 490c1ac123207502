#include "worker.hpp"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <cstdio>
#include <ctime>

#include "task_printer.hpp"

namespace weir::detail {

namespace {

// How many completions a task may take without suspending before it has to let others run.
constexpr unsigned task_budget = 128;
// Without tail calls: resumptions on top of each other before the stack is given back.
constexpr unsigned most_transfers = 64;

bool belongs_here(const worker* here, const promise_base& frame) noexcept {
  return here && frame.env->runtime == &here->core();
}

time_point clock_now(clockid_t id) noexcept {
  timespec ts{};
  clock_gettime(id, &ts);
  return time_point(length_of(ts));
}

}  // namespace

constinit thread_local worker* this_worker [[gnu::tls_model("initial-exec")]] = nullptr;

// ---- what the rest of the library calls

worker* current_worker() noexcept { return this_worker; }

worker_thread::worker_thread(worker& self) noexcept : before_(this_worker) { this_worker = &self; }
worker_thread::~worker_thread() { this_worker = before_; }

time_point monotonic_now() noexcept { return clock_now(CLOCK_MONOTONIC); }
time_point coarse_now() noexcept { return clock_now(CLOCK_MONOTONIC_COARSE); }

environment* current_environment() noexcept { return this_worker ? this_worker->env : nullptr; }

void set_current_environment(environment* env) noexcept { this_worker->env = env; }

void schedule(promise_base& frame) noexcept {
  worker* here = this_worker;
  if (belongs_here(here, frame)) {
    here->make_ready(frame);
  } else {
    frame.env->runtime->inject(frame);
  }
}

void schedule_next(promise_base& frame) noexcept {
  worker* here = this_worker;
  if (belongs_here(here, frame)) {
    here->make_ready_next(frame);
  } else {
    frame.env->runtime->inject(frame);
  }
}

void schedule_spawned(promise_base& frame) noexcept {
  worker* here = this_worker;
  if (belongs_here(here, frame)) {
    here->make_ready_spawned(frame);
  } else {
    frame.env->runtime->inject(frame);
  }
}

void schedule_arrived(promise_base& frame) noexcept { frame.env->runtime->inject(frame); }
void schedule_on(promise_base& frame, unsigned worker) noexcept {
  runtime_core& runtime = *frame.env->runtime;
  if (runtime.shared()) {
    runtime.at(worker).send(frame);
  } else {
    schedule_spawned(frame);
  }
}

void schedule_stop(promise_base& frame) noexcept {
  frame.next_step = promise_base::go::stop;
  schedule(frame);
}

void continue_unwinding(unwind_point point) noexcept {
  point.frame->unwinding_at = point.scope;
  point.frame->next_step = promise_base::go::unwind_on;
  schedule(*point.frame);
}

bool consume_budget() noexcept {
  worker* here = this_worker;
  if (!here || here->budget == 0) return false;
  --here->budget;
  return true;
}

bool is_unwinding() noexcept { return this_worker && this_worker->unwinding; }

bool is_shared(const runtime_core& runtime) noexcept { return runtime.shared(); }

bool on_worker_of(const runtime_core& runtime) noexcept { return this_worker && &this_worker->core() == &runtime; }

const void* confined_domain() noexcept { return this_worker ? this_worker->confined_domain() : nullptr; }

std::uint32_t random_below(std::uint32_t limit) noexcept {
  static thread_local random_numbers elsewhere(reinterpret_cast<std::uintptr_t>(&elsewhere));
  return (this_worker ? this_worker->random() : elsewhere).below(limit);
}

// Also in a library that was built with tail calls: its users may have another compiler.
std::coroutine_handle<> counted_transfer(std::coroutine_handle<> next) noexcept {
  worker* here = this_worker;
  if (!here || ++here->transfers < most_transfers) return next;
  // Below us this many resumptions stand on the stack; all of them are suspended and return to the loop now.
  here->parked_transfer = next;
  return std::noop_coroutine();
}

void post(worker& target, message& m) noexcept { target.post(m); }
worker& first_worker(runtime_core& runtime) noexcept { return runtime.first(); }
void drain_inbox() noexcept {
  if (this_worker) this_worker->drain_inbox();
}

time_point deadline_after(duration length) noexcept { return this_worker->core().deadline_after(length); }
bool arm_timer(timer& t, time_point due) noexcept { return this_worker->timers().arm(t, due); }
timer_cancel cancel_timer(timer& t) noexcept { return timer_wheel::cancel(t); }
void retire_timer(timer& t) noexcept {
  if (timer_wheel::cancel(t) == timer_cancel::too_late) timer_wheel::wait_until_fired(t);
}

bool leaf::may_complete_in(const environment& env) noexcept { return !env.is_stopped() && consume_budget(); }

void leaf::note_waiting() noexcept {
  frame_->waiting_since = this_worker->tick();
  frame_->home = this_worker->home();
}

bool leaf::begin(const await_context& context) noexcept {
  bind(context);
  note_waiting();
  if (!stop_ || stop_->arm(*this)) return true;
  schedule_stop(*frame_);
  return false;
}

void leaf::complete() noexcept { schedule(*frame_); }
void leaf::complete_next() noexcept { schedule_next(*frame_); }
void leaf::complete_stopped() noexcept { schedule_stop(*frame_); }

std::coroutine_handle<> boundary::child_finished() noexcept { return frame->handle(); }

void report_unobserved(const std::exception_ptr& exception) noexcept {
  runtime_core::report_to(this_worker ? this_worker->core().options().on_error : nullptr, exception);
}

group_core& root_group() {
  if (!this_worker) fatal("weir::spawn was called outside of a task: use runtime::spawn, or a task_group");
  if (this_worker->core().inherited()) refuse_in_forked_child();
  return this_worker->core().root();
}

// ---- worker

worker::worker(runtime_core& core, unsigned index)
    : core_(core),
      index_(index),
      home_(core.shared() && !core.stealing() ? static_cast<std::uint8_t>(index) : promise_base::homeless),
      selective_(core.simulation().enabled || home_ != promise_base::homeless),
      tasks_per_turn_(core.options().tasks_per_turn),
      queue_(core.stealing()),
      timers_(core.now(), core.shared()),
      confined_domain_(core.options().confined ? &core : nullptr),
      random_(core.simulation().enabled ? ~core.simulation().seed : index),
      hooks_(core.options().hooks),
      tick_(core.coarse_tick()) {
  if (core.simulation().enabled) seeded_ = std::make_unique<seeded_queue>(core.simulation().seed);
}

worker::~worker() {
  backoff wait;
  while (posting_.load(std::memory_order_acquire) != 0) wait.pause();
}

void worker::attach() {
  if (pthread_getcpuclockid(pthread_self(), &cpu_clock_) != 0) cpu_clock_ = -1;
  make_reactor(core_.options().backend);
}

void worker::make_reactor(backend_kind kind) {
  const runtime_options& options = core_.options();
  reactor_ = make_default_reactor({.backend = kind,
                                   .entries = options.ring_entries,
                                   .lease_buffers = options.lease_buffers,
                                   .lease_size = options.lease_size,
                                   .simulation = core_.simulation().enabled ? &core_ : nullptr},
                                  why_not_uring_);
}

// In a simulation the seed chooses, and tasks that stay at home are sent there. False: it is for the run queue here.
bool worker::make_ready_elsewhere(promise_base& frame) noexcept {
  if (seeded_) {
    seeded_->push(frame);
    return true;
  }
  if (frame.home == home_ || frame.home == promise_base::homeless) return false;
  core_.at(frame.home).send(frame);
  return true;
}

void worker::attach_without_ring() {
  if (reactor_->kind() != backend_kind::uring) return;
  reactor_->shut_down();
  reactor_.reset();
  make_reactor(backend_kind::epoll);
}

bool worker::quiet() const noexcept { return inbox_.empty() && reactor_->in_flight() == 0; }

void worker::wake() noexcept {
  if (on_worker_of(core_)) {
    this_worker->counted.wakeups.add();
  } else {
    core_.outside_wakeups_.fetch_add(1, std::memory_order_relaxed);
  }
  reactor_->wake();
}

worker_counters worker::counters() const noexcept {
  worker_counters now{.spawned = counted.spawned.read(),
                      .ended = counted.ended.read(),
                      .stopped = counted.stopped.read(),
                      .turns = counted.turns.read(),
                      .resumed = counted.resumed.read(),
                      .steals = counted.steals.read(),
                      .stolen = counted.stolen.read(),
                      .parks = counted.parks.read(),
                      .wakeups = counted.wakeups.read(),
                      .timers = counted.timers.read(),
                      .ready = ready(),
                      .armed = timers_.size()};
  const reactor_counters& of_io = reactor_->counters();
  now.io_calls = of_io.calls.read();
  now.io_completed = of_io.completed.read();
  now.io_started = std::max(of_io.started.read(), now.io_completed);
  now.in_flight = now.io_started - now.io_completed;
  now.ring_full = of_io.ring_full.read();
  now.ring_overflows = of_io.ring_overflows.read();
  now.leases = of_io.leases.read();
  now.ring_leases = of_io.ring_leases.read();
  now.lease_waits = of_io.lease_waits.read();
  now.zero_copy_sends = of_io.zero_copy_sends.read();
  now.zero_copy_copied = of_io.zero_copy_copied.read();
  now.registered_transfers = of_io.registered_transfers.read();
  now.copied_by_range = of_io.copied_by_range.read();
  now.copied_by_sendfile = of_io.copied_by_sendfile.read();
  now.copied_by_splice = of_io.copied_by_splice.read();
  now.copied_by_buffer = of_io.copied_by_buffer.read();
  const std::uint64_t home = of_io.buffers_returned.read() + of_io.buffers_brought.read();
  now.leased = std::max(of_io.buffers_taken.read(), home) - home;
  timespec used{};
  if (cpu_clock_ != -1 && clock_gettime(cpu_clock_, &used) == 0) {
    now.cpu_time = length_of(used);
  }
  return now;
}

void worker::nudge() noexcept {
  if (this_worker == this) return;
  nudged_.store(true, std::memory_order_seq_cst);
  if (claim()) wake();
}

void worker::send(promise_base& frame) noexcept {
  if (core_.inherited()) refuse_in_forked_child();
  // Once the frame is in, it may run, and the runtime come to its end.
  posting_.fetch_add(1, std::memory_order_relaxed);
  {
    const std::lock_guard guard(sent_lock_);
    sent_.push_back(frame);
    sent_count_.store(sent_count_.load(std::memory_order_relaxed) + 1, std::memory_order_seq_cst);
  }
  if (this_worker != this && claim()) wake();
  posting_.fetch_sub(1, std::memory_order_release);
}

void worker::forget_work() noexcept {
  queue_.clear();
  if (seeded_) seeded_->clear();
  inbox_.clear();
  sent_ = frame_list();
  sent_lock_.unlock();
  sent_count_.store(0, std::memory_order_relaxed);
}

void worker::post(message& m) noexcept {
  if (core_.inherited()) refuse_in_forked_child();
  if (seeded_) core_.refuse_other_threads();
  // Once the message is in, the runtime may come to its end; the destructor waits until we are out again.
  posting_.fetch_add(1, std::memory_order_relaxed);
  inbox_.push(m);
  if (this_worker != this && claim()) wake();
  posting_.fetch_sub(1, std::memory_order_release);
}

void worker::run_ready() noexcept {
  if (seeded_) {
    run_seeded();
    return;
  }
  const bool hooks = hooks_ != nullptr;
  unsigned n = 0;
  for (; n < tasks_per_turn_; ++n) {
    promise_base* frame = next_frame();
    if (!frame) break;
    if (hooks) {
      run_told(*frame, task_budget);
    } else {
      run(*frame, task_budget);
    }
  }
  nothing_runs();
  counted.resumed.add(n);
}

void worker::run_seeded() noexcept {
  const unsigned most = seeded_->next_turn(core_.trace());
  unsigned n = 0;
  for (; n < most; ++n) {
    promise_base* frame = seeded_->pop(core_.trace());
    if (!frame) break;
    const unsigned completions = seeded_->next_budget();
    hooks_ ? run_told(*frame, completions) : run(*frame, completions);
  }
  nothing_runs();
  counted.resumed.add(n);
}

[[gnu::always_inline]] inline promise_base* worker::next_frame() noexcept {
  if (--until_injected_ == 0) {
    until_injected_ = injected_pick;
    if (promise_base* frame = next_from_elsewhere()) return frame;
  }
  if (promise_base* frame = queue_.pop()) return frame;
  return next_from_elsewhere();
}

promise_base* worker::next_from_elsewhere() noexcept {
  if (sent_count_.load(std::memory_order_relaxed) == 0) return core_.take_injected(queue_);
  sent_first_ = !sent_first_;
  promise_base* frame = sent_first_ ? nullptr : core_.take_injected(queue_);
  if (!frame) frame = take_sent();
  // Half of the picks are for those that were sent here, too.
  if (sent_count_.load(std::memory_order_relaxed) != 0) until_injected_ = 2;
  return frame;
}

// One by one: in the run queue they could be stolen.
promise_base* worker::take_sent() noexcept {
  const std::lock_guard guard(sent_lock_);
  if (sent_.empty()) return nullptr;
  sent_count_.store(sent_count_.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
  return sent_.pop_front();
}

const void* worker::mark_run(bool& same) noexcept {
  const void* at = running_at_.load(std::memory_order_relaxed);
  same = at != without_mark(at);
  if (same || !at) return without_mark(at);
  auto* const marked = reinterpret_cast<const void*>(reinterpret_cast<std::uintptr_t>(at) | 1);
  // Should another run have begun meanwhile, at the same place, then that one is marked.
  return running_at_.compare_exchange_strong(at, marked, std::memory_order_relaxed) ? without_mark(marked) : nullptr;
}

[[gnu::always_inline]] inline void worker::run(promise_base& frame, unsigned completions) noexcept {
  if (frame.at_front) {
    frame.at_front = false;
    ++front_streak_;
  } else {
    front_streak_ = 0;
  }
  front_taken_ = false;
  budget = completions;
  env = frame.env;
  running_at_.store(address_of(frame.awaiting_at), std::memory_order_relaxed);
  if (frame.next_step == promise_base::go::resume) {
    frame.handle().resume();
  } else {
    begin_unwinding(frame);
  }
  while (parked_transfer) {
    transfers = 0;
    std::exchange(parked_transfer, {}).resume();
  }
}

// After the last of a row of tasks: in between, what is said of one stands until it is said of the next.
inline void worker::nothing_runs() noexcept {
  running_at_.store(nullptr, std::memory_order_relaxed);
  env = nullptr;
}

void worker::begin_unwinding(promise_base& frame) noexcept {
  if (std::exchange(frame.next_step, promise_base::go::resume) == promise_base::go::unwind_on) {
    unwind({&frame, frame.unwinding_at});
    return;
  }
  const leaf& stopped = *frame.waiting_in;
  // Whoever told the leaf may still be inside that call.
  if (stopped.stop()) stopped.stop()->forget_told();
  unwind({&frame, stopped.scope()});
}

void worker::run_told(promise_base& frame, unsigned completions) noexcept {
  tell_continued(frame);
  run(frame, completions);
  nothing_runs();
  // The task may run elsewhere by now, or be gone: only its address is told.
  if (told_ && hooks_->suspended) hooks_->suspended(hooks_->context, {.task = told_, .worker = index_});
  told_ = nullptr;
}

void worker::tell_continued(const promise_base& frame) noexcept {
  told_ = &strand_of(frame);
  env = frame.env;
  if (!hooks_->resumed) return;
  hooks_->resumed(hooks_->context, {.task = told_, .worker = index_, .where = frame.awaiting_at});
}

void worker::tell_begun(const strand& child) noexcept {
  const promise_base& root = const_cast<strand&>(child).root();
  core_.tell_spawned(root);
  if (told_ && hooks_->suspended) hooks_->suspended(hooks_->context, {.task = told_, .worker = index_});
  tell_continued(root);
}

void worker::tell_ended(const strand& running, task_end how) noexcept {
  told_ = nullptr;
  if (hooks_->ended) hooks_->ended(hooks_->context, {.task = &running, .worker = index_}, how);
}

void runtime_core::tell_spawned(const promise_base& frame) const noexcept {
  const task_hooks& hooks = *options_.hooks;
  if (!hooks.spawned) return;
  const strand& child = strand_of(frame);
  task_event event{.task = &child, .where = child.spawned_at};
  if (on_worker_of(*this)) {
    event.spawner = this_worker->told_;
    event.worker = this_worker->index();
  }
  hooks.spawned(hooks.context, event);
}

// Innermost first. Each round goes from `point` to the next boundary outwards, asks it to let the stop through, and
// destroys the frames up to it. A frame is detached from its owner before it is destroyed, so that no destructor
// destroys another frame: the stack does not grow with the depth.
void worker::unwind(unwind_point point) noexcept {
  for (;;) {
    boundary* next = point.scope;
    for (promise_base* f = point.frame; !next; f = f->awaiter) next = f->scope;
    if (!next->before_unwinding(point)) return;
    if (!point.scope) {
      unwinding = true;
      promise_base* f = point.frame;
      for (;;) {
        promise_base* awaiter = f->awaiter;
        const bool last = f->scope != nullptr;
        env = f->env;
        if (f->owner) *f->owner = {};
        f->handle().destroy();
        if (last) break;
        f = awaiter;
      }
      unwinding = false;
    }
    promise_base* const frame = next->frame;
    boundary* const outer = next->outer;
    switch (next->stopped()) {
      case boundary::verdict::handled:
        env = frame->env;
        frame->handle().resume();
        return;
      case boundary::verdict::propagate:
        point = {frame, outer};
        break;
      case boundary::verdict::pending:
        return;
    }
  }
}

// Parking, waking and searching. tests/runtime/parking_model.cpp has the same steps in the same order, and tries every
// interleaving of them: change both together. What they promise:
// - No worker rests while a task waits that nobody is about to start, but for one woken task that its own worker is to
//   run next.
// - One worker at a time is woken to search, and the next one only when that one has found something and left more. So
//   a batch of tasks wakes no more workers than it has tasks, and its maker pays for one wake-up.
// - Where what the woken worker found was not worth it, workers wake nobody for what they make ready themselves. It
//   keeps the watch over that pause: it ends with its rest, at the latest when its length has passed. Whatever has
//   ended its rest, the worker then searches; with work of its own it wakes another one for what is left.
void worker::idle() noexcept {
  if (seeded_) {
    idle_in_virtual_time();
    return;
  }
  if (core_.stealing() && find_work()) return;
  const duration pause = judge_wakeup();
  if (spin()) return;
  const time_point watch_ends = begin_watch(pause);
  const bool watching = watch_ends != no_deadline;
  rest_.exchange(rest::parked, std::memory_order_seq_cst);
  if (core_.shared()) core_.parked_.fetch_add(1, std::memory_order_seq_cst);
  // From here on whoever makes work sees that we are parked. What was made before must be seen by us: hence these
  // checks after the announcement, the run queues under their locks.
  const bool work_here = !inbox_.empty_now() || sent_count_.load(std::memory_order_seq_cst) != 0 ||
                         nudged_.exchange(false, std::memory_order_seq_cst);
  bool work_elsewhere = core_.injected_count_.load(std::memory_order_seq_cst) != 0;
  if (core_.stealing()) {
    for (const auto& other : core_.workers_) work_elsewhere = work_elsewhere || !other->queue_.empty_now();
  }
  if (work_here || work_elsewhere) {
    reactor_->poll();
  } else {
    counted.parks.add();
    reactor_->wait(std::min(watch_ends, timers_.empty() ? no_deadline : timers_.next_due()));
  }
  leave_rest(work_elsewhere, watching);
}

duration worker::judge_wakeup() noexcept {
  const time_point woken = std::exchange(woken_to_search_, no_deadline);
  return woken == no_deadline ? duration::zero() : pause_.after(monotonic_now() - woken);
}

time_point worker::begin_watch(duration pause) noexcept {
  if (pause == duration::zero() || core_.wakeups_pause_.exchange(true, std::memory_order_seq_cst)) return no_deadline;
  return add_saturated(monotonic_now(), pause);
}

void worker::leave_rest(bool work_elsewhere, bool watching) noexcept {
  rest before = rest_.load(std::memory_order_relaxed);
  if (core_.shared()) {
    core_.parked_.fetch_sub(1, std::memory_order_seq_cst);
    before = rest_.exchange(rest::awake, std::memory_order_seq_cst);
  } else {
    rest_.store(rest::awake, std::memory_order_relaxed);
  }
  if (watching) core_.wakeups_pause_.store(false, std::memory_order_seq_cst);
  // Those who have made what we saw elsewhere may have woken nobody, because somebody searched: then it is this worker
  // that takes care of it. So also for what was made while wake-ups paused.
  const bool woken = before == rest::to_search;
  if (!woken) {
    if ((!work_elsewhere && !watching) || !core_.shared()) return;
    core_.searching_.fetch_add(1, std::memory_order_seq_cst);
  }
  // What it has come for is taken before it looks whether that was all.
  if (ready() == 0 && inbox_.empty() && sent_count_.load(std::memory_order_relaxed) == 0) {
    if (promise_base* frame = core_.take_injected(queue_)) {
      queue_.push_woken(*frame);
    } else if ((steal() || woken) && core_.stealing()) {
      woken_to_search_ = monotonic_now();
    }
  }
  end_search();
}

bool worker::spin() noexcept {
  const duration length = core_.options().spin;
  if (length <= duration::zero()) return false;
  const time_point due = timers_.empty() ? no_deadline : timers_.next_due();
  time_point now = monotonic_now();
  const time_point until = std::min(add_saturated(now, length), due);
  do {
    if (reactor_->in_flight() != 0) reactor_->poll();
    if (ready() != 0 || !inbox_.empty() || arrivals()) return true;
    if (core_.stealing() && find_work()) return true;
    // The condition for going on may have changed.
    if (nudged_.load(std::memory_order_relaxed) && nudged_.exchange(false, std::memory_order_seq_cst)) return true;
    now = monotonic_now();
  } while (now < until);
  return now >= due;  // the next turn begins with the timers
}

bool worker::find_work() noexcept {
  core_.searching_.fetch_add(1, std::memory_order_seq_cst);
  const bool found = steal();
  end_search();
  return found;
}

bool worker::steal() noexcept {
  if (!core_.stealing()) return false;
  const std::size_t n = core_.workers_.size();
  for (std::size_t i = 1; i < n; ++i) {
    run_queue& victim = core_.workers_[(index_ + i) % n]->queue_;
    if (victim.size() == 0) continue;
    if (const std::size_t found = victim.steal_into(queue_)) {
      counted.steals.add();
      counted.stolen.add(found);
      return true;
    }
  }
  return false;
}

// While somebody searches nobody is woken. So whoever is the last to end has to look what came meanwhile.
void worker::end_search() noexcept {
  about_to_run_.store(ready() != 0, std::memory_order_relaxed);
  if (core_.searching_.fetch_sub(1, std::memory_order_seq_cst) == 1 && work_is_left()) core_.wake_one();
}

bool worker::work_is_left() noexcept {
  // One of them is for this worker.
  const std::size_t injected = core_.injected_count_.load(std::memory_order_seq_cst);
  if (injected + sent_count_.load(std::memory_order_relaxed) + queue_.size() > 1) return true;
  if (!core_.stealing()) return false;
  for (const auto& other : core_.workers_) {
    if (other.get() == this) continue;
    const std::size_t size = other->queue_.size_now();
    // A single one is for a worker that has just found it.
    if (size > 1 || (size == 1 && !other->about_to_run_.load(std::memory_order_relaxed))) return true;
  }
  return false;
}

void worker::idle_in_virtual_time() noexcept {
  reactor_->poll();
  if (ready() != 0 || !inbox_.empty()) return;
  const time_point due = std::min(reactor_->next_event(), timers_.empty() ? no_deadline : timers_.next_due());
  if (due == no_deadline) {
    core_.on_deadlock();
    return;
  }
  if (due > core_.virtual_now_) {
    core_.virtual_now_ = due;
    core_.trace().note(run_trace::step::jump, static_cast<std::uint64_t>(due.time_since_epoch().count()));
  }
  reactor_->poll();  // before the timers: a completion beats a deadline
}

// ---- runtime_core

time_point runtime_core::now() const noexcept { return simulation_.enabled ? virtual_now_ : monotonic_now(); }

time_point runtime_core::deadline_after(duration length) const noexcept {
  if (length < std::chrono::seconds(1) || simulation_.enabled) return add_saturated(now(), length);
  // That clock is behind by a tick and by what the tick itself came late, which was seen to be a tenth of one.
  return add_saturated(coarse_now() + 2 * kernel_tick_, length);
}

void runtime_core::wake_one() noexcept {
  if (!shared_) return;
  if (parked_.load(std::memory_order_seq_cst) == 0 || searching_.load(std::memory_order_seq_cst) != 0) return;
  const auto is_parked = [](const std::unique_ptr<worker>& w) {
    return w->rest_.load(std::memory_order_seq_cst) == worker::rest::parked;
  };
  do {
    unsigned nobody = 0;
    if (!searching_.compare_exchange_strong(nobody, 1, std::memory_order_seq_cst)) return;
    for (const auto& w : workers_) {
      if (!is_parked(w) || !w->claim(worker::rest::to_search)) continue;
      w->wake();
      return;
    }
    searching_.fetch_sub(1, std::memory_order_seq_cst);
    // Meanwhile one may have parked, and somebody else have left the waking to us.
  } while (std::any_of(workers_.begin(), workers_.end(), is_parked));
}

void runtime_core::refuse_other_threads() const noexcept {
  if (std::this_thread::get_id() == home_) return;
  fatal(
      "weir: another thread has touched a task of a simulation (a spawn, a wake-up or a cancellation): the seed could "
      "not repeat that; do it in a task, or use a runtime");
}

void runtime_core::abandon(worker& here, class reactor& instead) noexcept {
  for (const auto& w : workers_) w->forget_work();
  injected_ = frame_list();
  injected_count_.store(0, std::memory_order_relaxed);
  inject_lock_.unlock();
  // Nothing in this process can take apart what the parent has there. The worker is never destroyed.
  [[maybe_unused]] const auto* const the_parents = here.reactor_.release();
  here.reactor_.reset(&instead);
  here.budget = 0;  // the next leaf suspends
}

void runtime_core::inject(promise_base& frame) noexcept {
  if (inherited()) refuse_in_forked_child();
  if (simulation_.enabled) {  // between two runs
    refuse_other_threads();
    first().make_ready(frame);
    return;
  }
  if (shared_ && frame.home != promise_base::homeless) {
    at(frame.home).send(frame);
    return;
  }
  // Under the lock to the end: the frame may be the last thing for which the runtime, which is not this thread's,
  // lives.
  const std::lock_guard guard(inject_lock_);
  injected_.push_back(frame);
  injections_.add();
  injected_count_.store(injected_count_.load(std::memory_order_relaxed) + 1, std::memory_order_seq_cst);
  if (shared_) {
    wake_one();
  } else if (first().claim()) {
    first().wake();
  }
}

promise_base* runtime_core::take_injected(run_queue& rest) noexcept {
  if (injected_count_.load(std::memory_order_relaxed) == 0) return nullptr;
  promise_base* first = nullptr;
  frame_list more;
  std::size_t count = 0;
  {
    const std::lock_guard guard(inject_lock_);
    if (injected_.empty()) return nullptr;
    first = injected_.pop_front();
    const std::size_t left = injected_count_.load(std::memory_order_relaxed) - 1;
    const std::size_t share = std::min<std::size_t>(left / workers_.size(), worker::injected_pick / 2);
    for (; count < share; ++count) more.push_back(*injected_.pop_front());
    injected_count_.store(left - count, std::memory_order_relaxed);
  }
  if (count != 0) {
    rest.append_woken(more, count);
    if (stealing_) wake_one();  // nobody has seen them where they were in between
  }
  return first;
}

void runtime_core::report_to(void (*on_error)(const std::exception_ptr&) noexcept,
                             const std::exception_ptr& exception) noexcept {
  if (on_error) {
    on_error(exception);
    return;
  }
  try {
    std::rethrow_exception(exception);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "weir: a task failed and nobody asked for its result: %s\n", e.what());
  } catch (...) {
    std::fprintf(stderr, "weir: a task failed and nobody asked for its result\n");
  }
}

void wake_main_thread(runtime_core& core) noexcept { core.wake_first(); }

}  // namespace weir::detail
