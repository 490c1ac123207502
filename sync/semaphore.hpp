#pragma once

#include <cstddef>
#include <utility>

#include "../runtime/detail/config.hpp"
#include "../runtime/detail/take.hpp"
#include "detail/domain_lock.hpp"
#include "detail/object_wait.hpp"
#include "detail/waiter.hpp"

namespace weir {

class semaphore;

/// Permits of a semaphore; gives them back at the end of its life. Move-only. It may be moved to another task or
/// thread, and the permits with it. The semaphore must outlive it.
class [[nodiscard]] semaphore_permit {
 public:
  semaphore_permit() = default;
  semaphore_permit(semaphore_permit&& other) noexcept
      : owner_(detail::take(other.owner_)), count_(detail::take(other.count_)) {}
  semaphore_permit& operator=(semaphore_permit&& other) noexcept {
    semaphore_permit taken(std::move(other));
    detail::trade(owner_, taken.owner_);
    detail::trade(count_, taken.count_);
    return *this;
  }
  ~semaphore_permit() { release(); }

  /// Whether it was granted. Also true for zero permits.
  explicit operator bool() const noexcept { return owner_ != nullptr; }
  [[nodiscard]] std::size_t count() const noexcept { return count_; }

  /// Gives all of them back before the end of its life. Idempotent.
  void release() noexcept;
  /// Takes `n` of them away into a permit of their own. It must have so many.
  semaphore_permit split(std::size_t n) noexcept;
  /// Keeps them from being given back. Whoever they stand for now calls semaphore::release(), or they are gone for
  /// good. Returns how many there were.
  std::size_t forget() noexcept {
    owner_ = nullptr;
    return detail::take(count_);
  }

 private:
  friend class semaphore;
  semaphore_permit(semaphore& owner, std::size_t count) noexcept : owner_(&owner), count_(count) {}

  semaphore* owner_ = nullptr;
  std::size_t count_ = 0;
};

namespace detail {

class semaphore_waiter : public waiter {
 public:
  explicit semaphore_waiter(std::size_t n) noexcept : count(n) {}
  std::size_t count;

 protected:
  semaphore_waiter(const semaphore_waiter&) = default;
  ~semaphore_waiter() = default;
};

class semaphore_core {
 public:
  explicit semaphore_core(std::size_t permits) noexcept : available_(permits) {}
  semaphore_core(const semaphore_core&) = delete;
  semaphore_core& operator=(const semaphore_core&) = delete;
  ~semaphore_core() { WEIR_DETAIL_ASSERT(waiting_.empty(), "a semaphore was destroyed while somebody waits for it"); }

  bool try_take(std::size_t n) noexcept;
  bool try_enter(const semaphore_waiter& w) noexcept { return try_take(w.count); }
  admission enter(semaphore_waiter& w) noexcept;
  bool withdraw(semaphore_waiter& w) noexcept;
  bool arm(semaphore_waiter& w, case_link link) noexcept;
  void take_out(semaphore_waiter& w) noexcept;

  void give(std::size_t n) noexcept;
  [[nodiscard]] std::size_t available() noexcept;

 private:
  bool take_locked(std::size_t n) noexcept;
  void serve_locked(intrusive_list<waiter>& woken) noexcept;

  domain_lock lock_;
  std::size_t available_;
  waiter_queue
      waiting_;  // while somebody can be claimed here, his count is more than is available, or he is behind one
};

class [[nodiscard]] semaphore_acquire_operation final
    : public selectable_object_wait<semaphore_acquire_operation, semaphore_waiter, semaphore_permit> {
 public:
  semaphore_acquire_operation(semaphore& owner, std::size_t n) noexcept
      : selectable_object_wait<semaphore_acquire_operation, semaphore_waiter, semaphore_permit>(n), owner_(owner) {}
  semaphore_acquire_operation(const semaphore_acquire_operation&) = default;
  ~semaphore_acquire_operation() = default;

  [[nodiscard]] semaphore_core& object() const noexcept;
  semaphore_permit value() noexcept;
  [[nodiscard]] const char* name() const noexcept override { return "semaphore::acquire"; }

 private:
  semaphore& owner_;
};

}  // namespace detail

/// A number of permits, of which each may be held once: so many may do something at a time, or use so much of it.
///
///     weir::semaphore connections(20);
///     auto permit = co_await connections.acquire();  // given back at the end of the scope
///
/// First come, first served, also with different numbers: who asks for ten is not passed by those who ask for one, who
/// wait behind him even if there is one. Permits may also be made: one that starts with none and is release()d by
/// others counts events, each of which lets one waiter through.
///
/// Any task of any runtime and any plain thread may use it. Allocates nothing. It must outlive its permits and all who
/// wait; destroying it under a waiter is told in debug builds.
class semaphore : private detail::semaphore_core {
 public:
  explicit semaphore(std::size_t permits) noexcept : semaphore_core(permits) {}

  /// Completes with `n` permits once there are so many and everybody who came before has his. Never fails. Asking for
  /// more than there will ever be waits until it is cancelled.
  ///
  /// Cancelled while waiting: leaves the queue and stops, takes nothing, and lets those go on who waited behind it
  /// only. When permits had been handed to it before, it completes all the same. Under a token that is already
  /// cancelled it stops. Selectable: when another case is chosen nothing was taken. Allocates nothing; O(1).
  [[nodiscard]] detail::semaphore_acquire_operation acquire(std::size_t n = 1) noexcept WEIR_DETAIL_LIFETIMEBOUND {
    return detail::semaphore_acquire_operation(*this, n);
  }

  /// `n` permits if that takes no waiting, and otherwise none: `if (auto permit = s.try_acquire()) ...`. Passes nobody
  /// who waits. O(1).
  semaphore_permit try_acquire(std::size_t n = 1) noexcept WEIR_DETAIL_LIFETIMEBOUND;

  /// acquire() for a thread outside of every runtime, which it blocks; it queues among the tasks. On a worker it throws
  /// std::logic_error where it would have to wait. Cannot be cancelled.
  semaphore_permit acquire_blocking(std::size_t n = 1) WEIR_DETAIL_LIFETIMEBOUND;

  /// Adds `n` permits: those that were forgotten, or new ones. Callable from destructors and callbacks: it only makes
  /// tasks ready. O(waiters let through).
  void release(std::size_t n = 1) noexcept { give(n); }

  /// Permits that nobody holds. A hint where others take some meanwhile.
  [[nodiscard]] std::size_t available() noexcept { return semaphore_core::available(); }

 private:
  friend class semaphore_permit;
  friend class detail::semaphore_acquire_operation;
  semaphore_permit permit(std::size_t n) noexcept { return {*this, n}; }
};

inline void semaphore_permit::release() noexcept {
  semaphore* const owner = detail::take(owner_);
  if (const std::size_t n = detail::take(count_); owner && n != 0) owner->give(n);
}

inline semaphore_permit semaphore_permit::split(std::size_t n) noexcept {
  WEIR_DETAIL_ASSERT(owner_ && n <= count_, "split() of more permits than there are");
  count_ -= n;
  return {*owner_, n};
}

namespace detail {

inline semaphore_core& semaphore_acquire_operation::object() const noexcept { return owner_; }
inline semaphore_permit semaphore_acquire_operation::value() noexcept { return owner_.permit(count); }

}  // namespace detail
}  // namespace weir
