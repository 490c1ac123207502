#pragma once

#include <coroutine>

#include "../clock.hpp"
#include "promise_base.hpp"

// The scheduler as the rest of the library sees it. Everything here may be called from any thread unless it says
// otherwise; all is O(1) and allocates nothing.

namespace weir::detail {

/// The environment of the task that runs on this thread; null outside of tasks.
environment* current_environment() noexcept;
/// Scopes call this when they put theirs in place and when they leave. On a worker only.
void set_current_environment(environment* env) noexcept;

/// Makes a suspended frame ready: first come, first served.
void schedule(promise_base& frame) noexcept;
/// The same for a frame woken by the task that runs now: it may run next, a few times in a row.
void schedule_next(promise_base& frame) noexcept;
/// Makes the first frame of a new strand ready: newest first on its own worker.
void schedule_spawned(promise_base& frame) noexcept;
/// The same for one that has come from outside: first come, first served among its like, and behind what the worker has
/// itself, but for its share of the picks.
void schedule_arrived(promise_base& frame) noexcept;
/// The index of no worker.
inline constexpr unsigned any_worker = ~0u;
/// Makes the first frame of a new strand ready on a certain worker of its runtime.
void schedule_on(promise_base& frame, unsigned worker) noexcept;
/// Makes a frame ready to be unwound from the leaf that it waits in.
void schedule_stop(promise_base& frame) noexcept;
/// Goes on with an unwinding that a boundary had held up. On a worker only, and never inside await_suspend: from a
/// boundary's own call it is put off to the worker's loop.
void continue_unwinding(unwind_point point) noexcept;

/// One always-ready completion of the running task. False once its budget is used up: it must go to the back.
bool consume_budget() noexcept;

/// True while a stop destroys frames on this thread.
bool is_unwinding() noexcept;

/// May more than one thread run the tasks of this runtime?
bool is_shared(const runtime_core& runtime) noexcept;

/// Is the calling thread a worker of `runtime`?
bool on_worker_of(const runtime_core& runtime) noexcept;

/// What tells the calling worker's runtime from others if it is confined, otherwise null.
const void* confined_domain() noexcept;

/// For choices that are to be fair: uniform below `limit`, which is not 0. In a simulation the seed decides.
std::uint32_t random_below(std::uint32_t limit) noexcept;

/// Counts transfers without a return to the worker's loop, so that compilers without tail calls do not grow the stack:
/// returns `next`, or now and then parks it for the loop and returns a handle that does nothing.
std::coroutine_handle<> counted_transfer(std::coroutine_handle<> next) noexcept;
#if WEIR_DETAIL_TAIL_CALLS
inline std::coroutine_handle<> transfer(std::coroutine_handle<> next) noexcept { return next; }
#else
inline std::coroutine_handle<> transfer(std::coroutine_handle<> next) noexcept { return counted_transfer(next); }
#endif

/// A message to one worker: runs there, between tasks, once for each time it was posted. Lives in whoever posts it.
class message {
 public:
  message() = default;
  message(const message&) noexcept {}
  message& operator=(const message&) = delete;
  virtual void deliver() noexcept = 0;

 protected:
  ~message() = default;

 private:
  friend class inbox;
  message* next_ = nullptr;
};

/// Puts `m` into the inbox of `target` and wakes it if it is parked. `m` stays alive until it was delivered.
void post(worker& target, message& m) noexcept;
/// The worker of this thread, or null.
worker* current_worker() noexcept;
/// Some worker of the runtime: where messages from outside go.
worker& first_worker(runtime_core& runtime) noexcept;
/// Delivers what is in the calling worker's inbox now, so that a message known to be there is done with.
void drain_inbox() noexcept;

}  // namespace weir::detail
