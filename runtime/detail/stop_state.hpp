#pragma once

#include <atomic>

#include "../cancellation.hpp"
#include "spin_lock.hpp"

namespace weir::detail {

class leaf;
class promise_base;
class strand;

/// Walks over what the strands of a runtime wait for. While that lasts no task of it runs.
class wait_visitor {
 public:
  virtual void waits(const leaf& in) = 0;
  /// The body of a group, which is in nothing that waits: it runs, is ready, or has ended before its children. `frame`
  /// is the innermost one that is known to be suspended around it, or null.
  virtual void body_elsewhere(const promise_base* frame) = 0;
  /// It is in a section that hides it, awaited by `frame`.
  virtual void shielded(const promise_base& frame) = 0;
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
      if ((slot_.load(std::memory_order_relaxed) & closed) != 0) return false;
      slot_.store(value_of(inner), std::memory_order_relaxed);
      return true;
    }
    std::uintptr_t expected = 0;
    return slot_.compare_exchange_strong(expected, value_of(inner), std::memory_order_acq_rel);
  }

  /// Leaves `inner`. When it returns nobody calls, or will call, its request_stop.
  void disarm(stoppable& inner) noexcept {
    if (!shared_) {
      slot_.store(slot_.load(std::memory_order_relaxed) & closed, std::memory_order_relaxed);
      return;
    }
    std::uintptr_t expected = value_of(inner);
    if (slot_.compare_exchange_strong(expected, 0, std::memory_order_acq_rel)) return;
    forget_told();
  }

  /// After a stop: who was told of it is about to go. Waits for the canceller.
  void forget_told() noexcept {
    wait_for_canceller();
    slot_.store(slot_.load(std::memory_order_relaxed) & closed, std::memory_order_relaxed);
  }

  /// Returns when no thread is inside a request_stop made through this state's slot.
  void wait_for_canceller() noexcept {
    backoff wait;
    while (telling_.load(std::memory_order_acquire)) wait.pause();
  }

  /// What the strand is in now, or null. Only while nothing runs.
  [[nodiscard]] const stoppable* inner() const noexcept {
    return reinterpret_cast<const stoppable*>(slot_.load(std::memory_order_acquire) & ~closed);
  }

 private:
  static std::uintptr_t value_of(stoppable& inner) noexcept { return reinterpret_cast<std::uintptr_t>(&inner); }
  // Marks the slot: cancelled. Whoever is in it has been told, or is being told.
  static constexpr std::uintptr_t closed = 1;

  void propagate(cancellation_cause cause) noexcept override { close_slot(cause); }

  std::atomic<bool> telling_{false};
  bool shared_ = true;
  std::atomic<std::uintptr_t> slot_{0};

 protected:
  void close_slot(cancellation_cause cause) noexcept {
    telling_.store(true, std::memory_order_relaxed);
    const std::uintptr_t in = slot_.fetch_or(closed, std::memory_order_acq_rel);
    if (in != 0) reinterpret_cast<stoppable*>(in)->request_stop(cause);
    telling_.store(false, std::memory_order_release);
  }
};

}  // namespace weir::detail
