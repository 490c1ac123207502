#pragma once

#include <atomic>

#include "../cancellation.hpp"
#include "spin_lock.hpp"

namespace weir::detail {

class leaf;
class strand;

/// Walks over what the strands of a runtime wait for.
class wait_visitor {
 public:
  virtual void waits(const leaf& in) = 0;
  virtual void child(const strand& of_group) = 0;

 protected:
  ~wait_visitor() = default;
};

/// What a strand is suspended in and can be asked to stop: a leaf, or a scope inside which the strand is.
class stoppable {
 public:
  /// Asks it to stop soon. Called at most once, maybe from another thread, without locks held. Must not resume or
  /// destroy anything: it enqueues.
  virtual void request_stop(cancellation_cause cause) noexcept = 0;
  /// Shows what is waited for inside. Only while nothing runs.
  virtual void visit(wait_visitor& visitor) const = 0;

 protected:
  ~stoppable() = default;
};

/// The cancellation of one scope of one strand. A strand is in one place at a time, so beside the callbacks one slot is
/// enough: it names the leaf or inner scope in which the strand is now. Arming and disarming it is one locked
/// instruction each, or none where only one thread can reach it.
class stop_state : public cancellation_state {
 public:
  /// To be said before anything is armed: may the slot be reached from more than one thread?
  void set_shared(bool shared) noexcept { shared_ = shared; }

  /// Enters `inner`. False when the state is already cancelled: then `inner` will not be told.
  bool arm(stoppable& inner) noexcept {
    if (!shared_) {
      if (slot_.load(std::memory_order_relaxed) == closed()) return false;
      slot_.store(&inner, std::memory_order_relaxed);
      return true;
    }
    stoppable* expected = nullptr;
    return slot_.compare_exchange_strong(expected, &inner, std::memory_order_acq_rel);
  }

  /// Leaves `inner`. When it returns nobody calls, or will call, its request_stop.
  void disarm(stoppable& inner) noexcept {
    if (!shared_) {
      if (slot_.load(std::memory_order_relaxed) == &inner) slot_.store(nullptr, std::memory_order_relaxed);
      return;
    }
    stoppable* expected = &inner;
    if (slot_.compare_exchange_strong(expected, nullptr, std::memory_order_acq_rel)) return;
    wait_for_canceller();
  }

  /// Returns when no thread is inside a request_stop made through this state's slot.
  void wait_for_canceller() noexcept {
    backoff wait;
    while (telling_.load(std::memory_order_acquire)) wait.pause();
  }

  /// What the strand is in now, or null. Only while nothing runs.
  [[nodiscard]] const stoppable* inner() const noexcept {
    const stoppable* in = slot_.load(std::memory_order_acquire);
    return in == closed() ? nullptr : in;
  }

 private:
  // A value of the slot that no object has: cancelled, and the one who was in it has been told.
  static stoppable* closed() noexcept { return reinterpret_cast<stoppable*>(std::uintptr_t{1}); }

  void propagate(cancellation_cause cause) noexcept override { close_slot(cause); }

  std::atomic<bool> telling_{false};
  bool shared_ = true;
  std::atomic<stoppable*> slot_{nullptr};

 protected:
  void close_slot(cancellation_cause cause) noexcept {
    telling_.store(true, std::memory_order_relaxed);
    stoppable* inner = slot_.exchange(closed(), std::memory_order_acq_rel);
    if (inner) inner->request_stop(cause);
    telling_.store(false, std::memory_order_release);
  }
};

}  // namespace weir::detail
