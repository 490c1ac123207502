#pragma once

#include <atomic>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <span>

#include "promise_base.hpp"
#include "scheduler.hpp"
#include "stop_state.hpp"

namespace weir::detail {

class group_core;
class strand;

/// Children of a group. A group has one such list; a runtime's own group has more, one for each worker, because all of
/// its workers spawn into it.
struct child_list {
  child_list(group_core& of, spin_lock& its_lock) noexcept : group(of), lock(its_lock) {}

  group_core& group;
  spin_lock& lock;
  std::atomic<std::size_t> live{0};  // written under the lock
  intrusive_list<strand> children;   // guarded by the lock
};

/// The root of a strand: a task that runs beside its spawner, as a child of a group. It has an environment and a
/// cancellation of its own, so that it can be stopped alone. Derived classes hold the task and what becomes of its
/// result; they are allocated (spawn) or stand in an awaiting frame (when_all).
class strand : public boundary, public list_hook, public message {
 public:
  /// Where the strand was spawned, for reports.
  std::source_location spawned_at;

  [[nodiscard]] environment& env() noexcept { return env_; }
  [[nodiscard]] stop_state& state() noexcept { return state_; }
  [[nodiscard]] const stop_state& state() const noexcept { return state_; }
  /// The task's first frame. Until it has ended.
  [[nodiscard]] virtual promise_base& root() noexcept = 0;

 protected:
  strand() = default;
  ~strand() = default;

  /// The task has ended and its frame is suspended for good. Takes the result, and may destroy the frame. Returns the
  /// exception with which it ended, which stays where it is until release(); or null.
  virtual const std::exception_ptr* harvest() noexcept = 0;
  /// The task was stopped; its frames are gone.
  virtual void harvest_stopped() noexcept = 0;
  /// The strand is out of its group: the last call that it gets.
  virtual void release() noexcept = 0;
  /// Stops the strand from outside of its single-worker runtime, once for good: requested_outside() will be called
  /// there, once, until when the strand must live.
  void request_outside() noexcept;
  [[nodiscard]] bool outside_requested() const noexcept {
    return (outside_.load(std::memory_order_acquire) & request) != 0;
  }
  virtual void requested_outside() noexcept {}
  /// Once it has ended: the group has its exception and will rethrow it. Any other is nobody's yet.
  [[nodiscard]] bool failure_kept() const noexcept { return failure_kept_; }
  /// From harvest() on the group is not asked for any more, and its place can keep what outlives the runtime.
  using error_handler = void (*)(const std::exception_ptr&) noexcept;
  void keep_on_error(error_handler handler) noexcept { on_error_ = handler; }
  [[nodiscard]] error_handler kept_on_error() const noexcept { return on_error_; }

 private:
  friend class group_core;
  std::coroutine_handle<> child_finished() noexcept final;
  verdict stopped() noexcept final;
  void drop_locals() noexcept;
  void deliver() noexcept final;  // a spawn or a request from outside has reached the worker

  // Each leaf of the strand looks at the end of the state and at the environment: side by side they share a cache line.
  stop_state state_;
  environment env_;
  union {
    child_list* in_ = nullptr;
    error_handler on_error_;
  };
  bool failure_kept_ = false;
  std::atomic<bool> told_{false};  // of the group's cancellation; written under its list's lock
  std::atomic<bool> busy_{false};  // a canceller is telling it: it cannot leave the list
  // What comes from outside, in the one message that a strand is.
  static constexpr std::uint8_t arrival = 1;  // the strand itself is in the inbox
  static constexpr std::uint8_t request = 2;  // for good: it is made once
  std::atomic<std::uint8_t> outside_{0};
};

/// Strands that are joined together: what with_task_group, with_supervisor, when_all, when_any and a runtime's root
/// have in common. Adding, ending and cancelling are thread-safe where the runtime has several workers; from outside
/// its workers they go through an inbox.
class group_core : public stoppable {
 public:
  enum class on_failure : std::uint8_t {
    cancel_all,     ///< the first failure is kept and cancels the rest
    isolate,        ///< a failed child ends alone
    first_decides,  ///< the same; what child_ended() says of the first that ends counts
  };

  group_core(const group_core&) = delete;
  group_core& operator=(const group_core&) = delete;

  /// Adds `child`, whose task starts with `root`, and makes it ready to run, on a certain worker if it is to start
  /// there. Any thread.
  void add(strand& child, promise_base& root, unsigned on = any_worker) noexcept;
  /// The same, but the caller will run the returned handle itself, at once. On a worker.
  std::coroutine_handle<> add_running(strand& child, promise_base& root) noexcept;

  /// Stops all children, and the body. Any thread.
  void cancel(cancellation_cause cause = cancellation_cause::requested) noexcept;

  /// Whoever sees 0 sees what the children have done. In this order, because what arrives is counted as live before it
  /// is no longer counted as arriving.
  [[nodiscard]] std::size_t size() const noexcept {
    const std::size_t arriving = arriving_.load(std::memory_order_acquire);
    return arriving + (parts_.empty() ? own_.live.load(std::memory_order_acquire) : live_in_parts());
  }
  [[nodiscard]] std::size_t failures() const noexcept { return failures_.load(std::memory_order_relaxed); }
  [[nodiscard]] cancellation_token token() noexcept { return cancellation_token(&state_); }
  [[nodiscard]] environment& env() noexcept { return env_; }

  void visit(wait_visitor& visitor) const final;

 protected:
  explicit group_core(on_failure policy) noexcept : state_(*this), policy_(policy) {}
  ~group_core() = default;

  /// A list for one worker alone, as far as tasks end where they were spawned.
  struct alignas(64) part {
    explicit part(group_core& of) noexcept : list(of, lock) {}
    part(const part& other) noexcept : part(other.list.group) {}  // only while it is empty
    part& operator=(const part&) = delete;
    ~part() = default;
    spin_lock lock;
    child_list list;
  };
  /// Before anything is added: what is spawned on worker i goes into part i. Only for a group that outlives every
  /// worker's last look at it.
  void divide(std::span<part> parts) noexcept { parts_ = parts; }

  /// Before anything else: the environment around the group.
  void open(const environment& outer) noexcept;
  /// Links the group with the enclosing cancellation.
  void enter() noexcept;
  void leave() noexcept;

  /// Under the lock: keeps `exception` if it is the first one and the policy says so. True: it was kept, and the group
  /// is now to be cancelled.
  bool note_failure(const std::exception_ptr& exception) noexcept;

  /// note_failure for the body's own exception.
  bool keep_failure(const std::exception_ptr& exception) noexcept;

  /// True when nothing is left to join; otherwise drained() will be called once when that is so.
  bool drained_or_notify() noexcept;
  bool drained_or_notify_locked() noexcept;
  /// Under the lock: drained() is not wanted any more.
  void forget_notification() noexcept { notify_.store(false, std::memory_order_relaxed); }

  /// With first_decides: a child has ended, before it leaves. Under the lock. True: its outcome is the group's, and the
  /// others are to be cancelled. when_any looks for its winner here.
  virtual bool child_ended(strand&, bool /*stopped*/) noexcept { return false; }
  /// The last child has left and drained_or_notify() had been asked: returns the frame to resume, or null when the
  /// group has gone on by itself. Under the lock, which it gives back once it knows what to do: until then a stop
  /// cannot change who waits, and after it the group may be gone.
  virtual promise_base* drained(optional_guard<spin_lock>& guard) noexcept = 0;
  /// For reports, while nothing runs: the innermost frame that is known to be suspended around the children, or null.
  [[nodiscard]] virtual const promise_base* suspended_around() const noexcept { return nullptr; }

  /// After leave(): whether the group's own source fired first (a failure, a winner, cancel()), and not the enclosing
  /// scope's.
  [[nodiscard]] bool cancelled_by_itself() const noexcept { return state_.requested() && !inherited_; }
  /// After leave(), when drained: the enclosing scope was stopped first, and a child because of it.
  [[nodiscard]] bool cut_short_from_outside() const noexcept { return cut_short_ && inherited_; }
  [[nodiscard]] const std::exception_ptr& first_failure() const noexcept { return failure_; }
  [[nodiscard]] stop_state& state() noexcept { return state_; }

  environment env_;
  environment outer_env_;
  bool shared_ = true;
  mutable spin_lock lock_;

 private:
  friend class strand;

  class group_state final : public stop_state {
   public:
    explicit group_state(group_core& group) noexcept : group_(group) {}

   private:
    void propagate(cancellation_cause cause) noexcept override {
      close_slot(cause);
      group_.tell_children(cause);
    }
    group_core& group_;
  };

  /// cancel() from a thread that may not touch the group's children.
  class outside_cancel final : public message {
   public:
    explicit outside_cancel(group_core& group) noexcept : group_(group) {}
    void deliver() noexcept override;
    cancellation_cause cause = cancellation_cause::requested;

   private:
    group_core& group_;
  };

  void request_stop(cancellation_cause cause) noexcept final {
    if (state_.request(cause)) inherited_ = true;
  }
  promise_base* drained_now(optional_guard<spin_lock>& guard) noexcept;
  void stop_arriving() noexcept;
  void tell_children(cancellation_cause cause) noexcept;
  /// `here`: the calling thread's worker, of whatever runtime, or null.
  void prepare(strand& child, promise_base& root, const worker* here) noexcept;
  void add_from_outside(strand& child, promise_base& root, unsigned on) noexcept;
  void adopt(strand& child) noexcept;
  void adopt_with_care(strand& child) noexcept;
  /// A child has ended, with `exception` unless that is null. Returns the frame to go on with, or null.
  promise_base* remove(strand& child, child_list& in, const std::exception_ptr* exception, bool stopped) noexcept;
  /// What the child's end means for the group, which may be that all others are to be cancelled.
  void note_outcome(strand& child, const std::exception_ptr* exception, bool stopped) noexcept;
  promise_base* count_out_of_part(child_list& in) noexcept;
  static void unlink_shared(strand& child, child_list& in) noexcept;
  void tell_children(child_list& in, cancellation_cause cause) noexcept;
  /// Of a divided group: exact at one moment. Without the group's own lock.
  [[nodiscard]] std::size_t live_in_parts() const noexcept;
  /// The same under it.
  [[nodiscard]] std::size_t live_now() const noexcept;

  group_state state_;
  on_failure policy_;
  bool entered_ = false;
  std::atomic<bool> notify_{false};  // written under lock_
  bool inherited_ = false;           // the enclosing scope was first; stable after leave()
  bool cut_short_ = false;           // the group's cancellation has stopped a child; guarded by lock_ until drained
  std::atomic<std::size_t> arriving_{0};  // messages that are still in an inbox, and calls of cancel()
  outside_cancel outside_{*this};
  std::atomic<bool> outside_posted_{false};
  std::atomic<std::size_t> failures_{0};
  std::exception_ptr failure_;  // guarded by lock_ until drained
  child_list own_{*this, lock_};
  std::span<part> parts_;
};

/// For failures that nobody will see otherwise: runtime_options::on_error, or one line on stderr.
void report_unobserved(const std::exception_ptr& exception) noexcept;

}  // namespace weir::detail
