#pragma once

#include <cstddef>

#include "../runtime/detail/config.hpp"
#include "detail/domain_lock.hpp"
#include "detail/object_wait.hpp"
#include "detail/waiter.hpp"

namespace weir {

namespace detail {

class barrier_waiter : public waiter {
 public:
  bool last = false;

 protected:
  barrier_waiter() = default;
  barrier_waiter(const barrier_waiter&) = default;
  ~barrier_waiter() = default;
};

class barrier_core {
 public:
  explicit barrier_core(std::size_t parties) noexcept : parties_(parties) {}
  barrier_core(const barrier_core&) = delete;
  barrier_core& operator=(const barrier_core&) = delete;
  ~barrier_core() { WEIR_DETAIL_ASSERT(waiting_.empty(), "a barrier was destroyed while somebody waits at it"); }

  /// True for the last one, who need not wait. Otherwise nothing has happened.
  bool try_arrive_last() noexcept;
  bool try_enter(barrier_waiter& w) noexcept { return w.last = try_arrive_last(); }
  admission enter(barrier_waiter& w) noexcept;
  bool withdraw(barrier_waiter& w) noexcept;

  void drop() noexcept;
  [[nodiscard]] std::size_t parties() noexcept;

 private:
  void begin_next_round(intrusive_list<waiter>& woken) noexcept;

  domain_lock lock_;
  std::size_t parties_;
  std::size_t arrived_ = 0;  // less than parties_: those who wait
  waiter_queue waiting_;
};

class [[nodiscard]] barrier_arrive_operation final
    : public object_wait<barrier_arrive_operation, barrier_waiter, bool> {
 public:
  explicit barrier_arrive_operation(barrier_core& at) noexcept : at_(at) {}
  barrier_arrive_operation(const barrier_arrive_operation&) = default;
  ~barrier_arrive_operation() = default;

  [[nodiscard]] barrier_core& object() const noexcept { return at_; }
  [[nodiscard]] bool value() const noexcept { return last; }
  [[nodiscard]] const char* name() const noexcept override { return "barrier::arrive_and_wait"; }

 private:
  barrier_core& at_;
};

}  // namespace detail

/// A place where a number of parties wait for one another, again and again: nobody goes on before all have arrived.
///
///     weir::barrier step(4);
///     // in each of four tasks
///     for (;;) {
///       compute_my_part();
///       if (co_await step.arrive_and_wait()) swap_buffers();  // one of the four does it
///       co_await step.arrive_and_wait();
///     }
///
/// What was done before arriving is seen by all after it. Any task of any runtime and any plain thread may take part.
/// Allocates nothing. It must outlive all who wait (told in debug builds).
class barrier : private detail::barrier_core {
 public:
  /// `parties` is at least 1.
  explicit barrier(std::size_t parties) noexcept : barrier_core(parties) {
    WEIR_DETAIL_ASSERT(parties != 0, "a barrier has at least one party");
  }

  /// Completes when all parties have arrived, with true for the one that came last and false for the others; then the
  /// next round begins. Never fails.
  ///
  /// Cancelled while waiting: takes its arrival back and stops: the round then waits for one more. Under a token that
  /// is already cancelled it does not arrive. Who leaves for good calls drop(), or the others wait for ever. Allocates
  /// nothing; O(1), for the last one O(parties).
  [[nodiscard]] detail::barrier_arrive_operation arrive_and_wait() noexcept WEIR_DETAIL_LIFETIMEBOUND {
    return detail::barrier_arrive_operation(*this);
  }

  /// arrive_and_wait() for a thread outside of every runtime, which it blocks. On a worker it throws std::logic_error
  /// where it would have to wait. Cannot be cancelled.
  bool arrive_and_wait_blocking();

  /// There is one party less, in this round and all that follow; for one that is not waiting. If only its arrival was
  /// missing, the others go on, and none of them is told that it came last. Callable from destructors and callbacks: a
  /// task that may be stopped between two rounds calls it in a guard. O(1), or O(parties).
  void drop() noexcept { barrier_core::drop(); }

  /// How many there are at present.
  [[nodiscard]] std::size_t parties() noexcept { return barrier_core::parties(); }
};

}  // namespace weir
