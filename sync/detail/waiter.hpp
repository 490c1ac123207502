#pragma once

#include <coroutine>
#include <cstdint>

#include "../../runtime/detail/intrusive_list.hpp"
#include "../../runtime/detail/promise_base.hpp"
#include "state_lock.hpp"

// How tasks and threads wait for an object of sync/. The object has a state_lock and one or more waiter_queues that the
// lock guards.
//
// A waiter is claimed under the lock, once: by whoever takes it out of its queue (then it has what it waited for), or
// by its own cancellation (then it is stopped). Who claims it completes it, as a rule after the lock was released. From
// that moment the waiter may be gone, and the object with it, if nobody else waits.
//
// A cancellation may come before the waiter has reached the queue, because a leaf is armed first. It is remembered in
// the waiter, and admission is refused.

namespace weir::detail {

/// A task or a thread that waits for an object of sync/.
class waiter : public list_hook {
 public:
  waiter() = default;
  waiter& operator=(const waiter&) = delete;

  /// Lets a claimed waiter go on.
  virtual void wake() noexcept = 0;
  /// The same, and before its turn: for the one that the running task has let through.
  virtual void wake_next() noexcept { wake(); }

  /// Its stop has come before it was admitted. Under the object's lock.
  [[nodiscard]] bool withdrawn() const noexcept { return withdrawn_; }

 protected:
  waiter(const waiter&) = default;  // only before it waits
  ~waiter() = default;

 private:
  friend class waiter_queue;
  bool queued_ = false;  // and not claimed
  bool withdrawn_ = false;
};

/// Waiters, first come, first served. Everything under the object's lock; O(1) but for take_all. Allocates nothing.
class waiter_queue {
 public:
  waiter_queue() = default;
  waiter_queue(const waiter_queue&) = delete;
  waiter_queue& operator=(const waiter_queue&) = delete;

  [[nodiscard]] bool empty() const noexcept { return waiting_.empty(); }

  void push(waiter& w) noexcept {
    w.queued_ = true;
    waiting_.push_back(w);
  }
  /// Claims the one that has waited longest; null when nobody waits.
  waiter* take_first() noexcept {
    if (waiting_.empty()) return nullptr;
    waiter& w = waiting_.pop_front();
    w.queued_ = false;
    return &w;
  }
  /// Claims all of them. `taken` can be walked without the lock: its waiters are touched by nobody else.
  void take_all(intrusive_list<waiter>& taken) noexcept {
    for (waiter* w = waiting_.first(); w; w = waiting_.after(*w)) w->queued_ = false;
    taken.splice_back(waiting_);
  }
  /// Claims `w` for its cancellation. False: it has been claimed, or has not been admitted yet and will be refused.
  bool withdraw(waiter& w) noexcept {
    w.withdrawn_ = true;
    if (!w.queued_) return false;
    w.queued_ = false;
    w.list_hook::unlink();
    return true;
  }

 private:
  intrusive_list<waiter> waiting_;
};

/// What an object answers to somebody who came to wait.
enum class admission : std::uint8_t {
  passed,   ///< it has what it wanted and need not wait
  queued,   ///< it waits; it may be through and gone already
  refused,  ///< its stop was faster
};

/// A task in a queue. A derived leaf calls wait_for() from start(), withdraw_from() from request_stop(), and finish()
/// from resume().
class waiting_leaf : public leaf, public waiter {
 protected:
  waiting_leaf() = default;
  waiting_leaf(const waiting_leaf&) = default;
  ~waiting_leaf() = default;

  /// `enter()` asks the object for admission.
  template <class Enter>
  std::coroutine_handle<> wait_for(const await_context& context, Enter enter) noexcept {
    if (!begin(context)) return std::noop_coroutine();
    switch (enter()) {
      case admission::passed:
        complete();
        break;
      case admission::queued:
        break;
      case admission::refused:
        complete_stopped();
        break;
    }
    return std::noop_coroutine();
  }

  /// The object outlives this: a wait does not end while its canceller is inside.
  void withdraw_from(waiter_queue& queue, state_lock& lock) noexcept;

  void wake() noexcept override { complete(); }
  void wake_next() noexcept override { complete_next(); }
};

}  // namespace weir::detail
