#pragma once

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <source_location>
#include <string>

#include "../clock.hpp"
#include "config.hpp"
#include "stop_state.hpp"

namespace weir::detail {

class runtime_core;
class worker;
class promise_base;
class boundary;
class leaf;
class local_value;

/// Memory from the calling worker's cache, for what is no frame but comes and goes with tasks.
void* allocate_record(std::size_t size);
void release_record(void* record, std::size_t size) noexcept;

/// What a task has from where it runs. Awaited children share their awaiter's; scopes put a changed copy in its place.
struct environment {
  runtime_core* runtime = nullptr;
  stop_state* stop = nullptr;           // null: shielded, nothing can stop it
  time_point deadline = no_deadline;    // the nearest of all enclosing deadlines
  const local_value* locals = nullptr;  // values of task_locals, the innermost first; a strand holds its own

  /// A stop was asked for: what begins to wait is stopped at once.
  [[nodiscard]] bool is_stopped() const noexcept { return stop && stop->requested(); }
};

/// Where an unwinding stands: the next thing to deal with is `scope` when there is one, otherwise `frame`, which is to
/// be destroyed.
struct unwind_point {
  promise_base* frame;
  boundary* scope;
};

/// What stands between a frame and the frame that awaits it: a scope (with_timeout, a group, as_result, ...) or the
/// root of a strand. It is told how the operation inside it ended when that is by a stop, and may answer for it.
class boundary {
 public:
  enum class verdict : std::uint8_t {
    handled,    ///< its frame is to be resumed: the scope speaks for itself in resume()
    propagate,  ///< the stop goes on outwards
    pending,    ///< the scope has taken over and goes on later, with continue_unwinding() or schedule()
  };

  boundary() = default;
  boundary(const boundary&) = delete;
  boundary& operator=(const boundary&) = delete;

  /// The task inside has returned or thrown and is suspended for good, or the generator has yielded: what to run now.
  virtual std::coroutine_handle<> child_finished() noexcept;
  /// A stop is coming from `from`; nothing inside this boundary has been destroyed yet. False: it must wait, the
  /// boundary goes on with continue_unwinding(from) later.
  virtual bool before_unwinding(const unwind_point&) noexcept { return true; }
  /// Everything inside has been destroyed.
  virtual verdict stopped() noexcept = 0;
  /// For reports: what this scope is, or null to leave it out.
  [[nodiscard]] virtual const char* name() const noexcept { return nullptr; }

  promise_base* frame = nullptr;  // the frame that awaits this scope; null for the root of a strand
  boundary* outer = nullptr;      // the next scope of the same await expression, outwards

 protected:
  ~boundary() = default;
};

/// How a task's coroutine ended so far.
enum class outcome_kind : std::uint8_t { none, value, exception };

/// The part of every task's promise that does not depend on its type. It stands first in its promise, and no promise is
/// aligned beyond 16 bytes, so that its address tells the frame's.
class promise_base {
 public:
  promise_base() = default;
  promise_base(const promise_base&) = delete;
  promise_base& operator=(const promise_base&) = delete;

  static void* operator new(std::size_t size);
  static void operator delete(void* frame, std::size_t size) noexcept;

  [[nodiscard]] std::coroutine_handle<> handle() noexcept {
    return std::coroutine_handle<promise_base>::from_promise(*this);
  }

  promise_base* next = nullptr;      // in a run queue
  promise_base* previous = nullptr;  // in a run queue
  environment* env = nullptr;
  promise_base* awaiter = nullptr;  // who is resumed when this frame ends or yields; null for the root of a strand
  boundary* scope = nullptr;        // between this frame and its awaiter, or null
  std::coroutine_handle<>* owner = nullptr;  // the handle that owns this frame: emptied before an unwinding destroys it
  union {
    leaf* waiting_in = nullptr;  // the leaf that this frame is suspended in
    boundary* unwinding_at;      // with go::unwind_on: the scope to go on with, or null for the frame itself
  };
  std::source_location awaiting_at;  // of the latest co_await; before the first one, of the coroutine
  /// What running it means.
  enum class go : std::uint8_t { resume, stop, unwind_on };
  std::uint32_t waiting_since = 0;  // what worker::tick() said when it began to wait in its leaf
  go next_step = go::resume;
  bool at_front = false;  // it was put before its turn in the run queue
  outcome_kind outcome = outcome_kind::none;
  static constexpr std::uint8_t homeless = 255;
  std::uint8_t home = homeless;  // where tasks stay on their worker: its index, once the frame has waited there

 protected:
  ~promise_base() = default;
};

/// Where an operation starts: the frame that awaits it, the innermost scope around it in the same expression, and the
/// environment that it sees.
struct await_context {
  promise_base* frame;
  boundary* scope;
  environment* env;
};

/// The end of every chain of awaits: an operation that suspends a strand until something happens. A derived leaf
/// completes exactly once, by complete() or complete_stopped().
///
/// Protocol: start() calls begin(); when that is false the stop is already on its way and nothing else may be done.
/// resume() calls finish() first. Between the two, request_stop may come at any time, once, from any thread; whoever
/// claims the leaf under its own lock completes it.
class leaf : public stoppable {
  friend class spawned_base;  // wakes who joins

 public:
  leaf() = default;
  leaf(const leaf&) noexcept : stoppable() {}  // only before it starts
  leaf& operator=(const leaf&) = delete;

  /// For reports: "sleep", "accept", ...
  [[nodiscard]] virtual const char* name() const noexcept = 0;
  /// For reports: the same with what it waits for, as far as that has a name: "read 127.0.0.1:80".
  [[nodiscard]] virtual std::string describe() const { return name(); }
  /// For reports: the frame in which somebody gained what this waits for, if that is known. An address to compare with,
  /// never to follow: the frame may have gone.
  [[nodiscard]] virtual const void* held_by() const noexcept { return nullptr; }
  void visit(wait_visitor& visitor) const override { visitor.waits(*this); }

  /// False under a token that is already cancelled, or when the task's budget is used up: do not even try to complete
  /// at once.
  static bool may_complete_now(const await_context& context) noexcept { return may_complete_in(*context.env); }
  /// Of the context it takes what it needs: a context whose address went out of line would stand in the task's frame.
  static bool may_complete_in(const environment& env) noexcept;

  [[nodiscard]] promise_base& frame() const noexcept { return *frame_; }
  [[nodiscard]] boundary* scope() const noexcept { return scope_; }
  [[nodiscard]] stop_state* stop() const noexcept { return stop_; }

 protected:
  ~leaf() = default;

  void bind(const await_context& context) noexcept {
    frame_ = context.frame;
    scope_ = context.scope;
    stop_ = context.env->stop;
    frame_->waiting_in = this;
  }
  /// For reports: it waits from now on.
  void note_waiting() noexcept;
  /// Binds the leaf to its frame and arms it. False: it is stopped before it began.
  bool begin(const await_context& context) noexcept;
  /// After a normal completion, before the result is handed out.
  void finish() noexcept {
    if (stop_) stop_->disarm(*this);
  }
  /// Makes the frame ready, or ready to unwind. The leaf may be gone when this returns.
  void complete() noexcept;
  /// The same, and before its turn: for what the running task wakes.
  void complete_next() noexcept;
  void complete_stopped() noexcept;

 private:
  promise_base* frame_ = nullptr;
  boundary* scope_ = nullptr;
  stop_state* stop_ = nullptr;
};

}  // namespace weir::detail
