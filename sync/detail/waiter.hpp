#pragma once

#include <coroutine>
#include <cstdint>

#include "../../runtime/detail/intrusive_list.hpp"
#include "../../runtime/detail/promise_base.hpp"
#include "../../runtime/detail/selection.hpp"
#include "domain_lock.hpp"
#include "state_lock.hpp"

// How tasks and threads wait for an object of sync/. The object has a lock and one or more waiter_queues that the lock
// guards.
//
// A waiter is claimed under the lock, once: by whoever takes it out of its queue (then it has what it waited for), or
// by its own cancellation (then it is stopped). Who claims it completes it, as a rule after the lock was released. From
// that moment the waiter may be gone, and the object with it, if nobody else waits.
//
// A cancellation may come before the waiter has reached the queue, because a leaf is armed first. It is remembered in
// the waiter, and admission is refused.
//
// A waiter that is a case of a select can be decided elsewhere while it stands in a queue. It is dead then: the queue
// passes it over, and its select takes it out.

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

  /// Its place in a select, if it waits for one.
  case_link in_select;

 protected:
  waiter(const waiter&) noexcept : list_hook() {}  // only before it waits: there is nothing to copy
  ~waiter() = default;

 private:
  friend class waiter_queue;
  bool queued_ = false;  // and not claimed
  bool withdrawn_ = false;
};

/// What an object answers to somebody who came to wait.
enum class admission : std::uint8_t {
  passed,   ///< it has what it wanted and need not wait
  queued,   ///< it waits; it may be through and gone already
  refused,  ///< its stop was faster
};

/// Waiters, first come, first served. Everything under the object's lock; O(1) unless it says otherwise. Allocates
/// nothing.
class waiter_queue {
 public:
  waiter_queue() = default;
  waiter_queue(const waiter_queue&) = delete;
  waiter_queue& operator=(const waiter_queue&) = delete;

  /// False also when only dead ones are left.
  [[nodiscard]] bool empty() const noexcept { return waiting_.empty(); }
  using condition = bool (*)(const waiter&) noexcept;
  /// The first of those who could be claimed now, and are `wanted`, other than the cases of the select `besides`; null
  /// when there is none. O(waiters passed over).
  waiter* first_live(const selection* besides, condition wanted = nullptr) noexcept;
  [[nodiscard]] bool has_live(const selection* besides, condition wanted = nullptr) noexcept {
    return first_live(besides, wanted) != nullptr;
  }

  /// In their order, the dead ones too. O(waiters).
  template <class Visit>
  void for_each(Visit visit) const {
    for (const waiter* w = waiting_.first(); w; w = waiting_.after(*w)) visit(*w);
  }

  void push(waiter& w) noexcept {
    w.queued_ = true;
    waiting_.push_back(w);
  }
  /// Answers `w`, who came to wait: queues it, unless its stop was faster or `passes()`.
  template <class Passes>
  admission admit(waiter& w, Passes passes) noexcept {
    if (w.withdrawn()) return admission::refused;
    if (passes()) return admission::passed;
    push(w);
    return admission::queued;
  }
  /// Claims the one that has waited longest; null when nobody waits.
  waiter* take_first() noexcept {
    while (!waiting_.empty()) {
      waiter& w = waiting_.pop_front();
      w.queued_ = false;
      if (w.in_select.claim()) return &w;
    }
    return nullptr;
  }
  /// Claims the first of those that are `wanted`. O(waiters passed over).
  waiter* take_first(condition wanted) noexcept;
  /// Claims all of them. `taken` can be walked without the lock: its waiters are touched by nobody else.
  void take_all(intrusive_list<waiter>& taken) noexcept {
    while (waiter* w = take_first()) taken.push_back(*w);
  }
  /// In place of take_first() where the commit may throw: the one that has waited longest stays in the queue, held.
  /// Then either take_held() claims it, or put_back() leaves everything as it was.
  waiter* hold_first() noexcept;
  void take_held(waiter& held) noexcept;
  static void put_back(const waiter& held) noexcept;
  /// Claims `w` for its cancellation. False: it has been claimed, or has not been admitted yet and will be refused.
  bool withdraw(waiter& w) noexcept {
    w.withdrawn_ = true;
    return take_out(w);
  }
  /// Gives the place of `w`, if it has one, to `by`, which has none.
  static void replace(waiter& w, waiter& by) noexcept;
  /// Takes out `w`, dead or alive. False: it was not there any more.
  bool take_out(waiter& w) noexcept {
    if (!w.queued_) return false;
    w.queued_ = false;
    w.list_hook::unlink();
    return true;
  }

 private:
  intrusive_list<waiter> waiting_;
};

/// A task in a queue, waiting alone or as a case of a select. `Waiter` is waiter or derived from it. A derived leaf
/// calls wait_for() from start(), withdraw_from() from request_stop(), and finish() from resume().
template <class Waiter>
class basic_waiting_leaf : public leaf, public Waiter {
 protected:
  using Waiter::Waiter;
  basic_waiting_leaf() = default;
  basic_waiting_leaf(const basic_waiting_leaf&) = default;
  ~basic_waiting_leaf() = default;

  /// `enter()` asks the object for admission.
  template <class Enter>
  std::coroutine_handle<> wait_for(const await_context& context, Enter enter) noexcept {
    if (!this->begin(context)) return std::noop_coroutine();
    switch (enter()) {
      case admission::passed:
        this->complete();
        break;
      case admission::queued:
        break;
      case admission::refused:
        this->complete_stopped();
        break;
    }
    return std::noop_coroutine();
  }

  /// The object outlives this: a wait does not end while its canceller is inside.
  void withdraw_from(waiter_queue& queue, state_lock& lock) noexcept {
    const state_lock::state state = lock.lock();
    const bool mine = queue.withdraw(*this);
    lock.unlock(state);
    if (mine) this->complete_stopped();
  }
  void withdraw_from(waiter_queue& queue, domain_lock& lock) noexcept {
    lock.lock();
    const bool mine = queue.withdraw(*this);
    lock.unlock();
    if (mine) this->complete_stopped();
  }

  void wake() noexcept override {
    if (this->in_select) {
      this->in_select.in->fulfil(false);
    } else {
      this->complete();
    }
  }
  void wake_next() noexcept override {
    if (this->in_select) {
      this->in_select.in->fulfil(true);
    } else {
      this->complete_next();
    }
  }
};

using waiting_leaf = basic_waiting_leaf<waiter>;

/// Whether `frame` is `task`, or a task that waits for it to return: what `frame` holds, `task` must not wait for.
/// `frame` is an address to compare with, and never followed. O(frames in between).
[[nodiscard]] bool returns_to(const promise_base& task, const void* frame) noexcept;

}  // namespace weir::detail
