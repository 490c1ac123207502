#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "../runtime/detail/config.hpp"
#include "../runtime/detail/counter.hpp"
#include "../runtime/detail/take.hpp"
#include "detail/domain_lock.hpp"
#include "detail/object_wait.hpp"
#include "detail/waiter.hpp"

namespace weir {

class shared_mutex;

/// Holds a shared_mutex alone, or nothing; releases it at the end of its life. Move-only, also to another task or
/// thread.
class [[nodiscard]] write_guard;
/// Holds a shared_mutex together with others, or nothing. The rest as for write_guard.
class [[nodiscard]] read_guard;

namespace detail {

class shared_mutex_waiter : public waiter {
 public:
  explicit shared_mutex_waiter(bool alone) noexcept : exclusive(alone) {}
  bool exclusive;

 protected:
  shared_mutex_waiter(const shared_mutex_waiter&) = default;
  ~shared_mutex_waiter() = default;
};

class shared_mutex_core {
 public:
  shared_mutex_core() = default;
  shared_mutex_core(const shared_mutex_core&) = delete;
  shared_mutex_core& operator=(const shared_mutex_core&) = delete;
  ~shared_mutex_core() {
    WEIR_DETAIL_ASSERT(!writer_ && readers_ == 0 && waiting_.empty(),
                       "a shared_mutex was destroyed while somebody holds it or waits for it");
  }

  bool try_lock_as(bool exclusive) noexcept;
  void lock_blocking_as(bool exclusive, const char* sentence_on_a_worker);
  void unlock_writer() noexcept;
  void unlock_reader() noexcept;
  void downgrade() noexcept;

  bool try_enter(const shared_mutex_waiter& w) noexcept { return try_lock_as(w.exclusive); }
  admission enter(shared_mutex_waiter& w) noexcept;
  bool withdraw(shared_mutex_waiter& w) noexcept;
  [[nodiscard]] std::uint64_t waits() const noexcept { return waits_.read(); }

 private:
  [[nodiscard]] bool free_for(bool exclusive) const noexcept { return !writer_ && (!exclusive || readers_ == 0); }
  void take_as(bool exclusive) noexcept;
  bool enter_locked(bool exclusive) noexcept;
  void serve_locked(intrusive_list<waiter>& woken) noexcept;

  domain_lock lock_;
  bool writer_ = false;
  std::size_t readers_ = 0;
  waiter_queue waiting_;  // the first one cannot be let in
  counter waits_;         // raised under the lock
};

template <class Guard>
class [[nodiscard]] shared_mutex_operation final
    : public object_wait<shared_mutex_operation<Guard>, shared_mutex_waiter, Guard> {
 public:
  explicit shared_mutex_operation(shared_mutex& target) noexcept
      : object_wait<shared_mutex_operation<Guard>, shared_mutex_waiter, Guard>(Guard::exclusive), target_(target) {}
  shared_mutex_operation(const shared_mutex_operation&) = default;
  ~shared_mutex_operation() = default;

  [[nodiscard]] shared_mutex_core& object() const noexcept;
  Guard value() noexcept { return Guard(target_); }
  [[nodiscard]] const char* name() const noexcept override {
    return Guard::exclusive ? "shared_mutex::lock" : "shared_mutex::lock_shared";
  }

 private:
  shared_mutex& target_;
};

/// What the two guards have in common.
template <class Guard>
class shared_mutex_guard {
 public:
  explicit operator bool() const noexcept { return held_ != nullptr; }

  /// Releases before the end of its life. It must hold the mutex. O(1), or O(waiters let in).
  void unlock() noexcept {
    WEIR_DETAIL_ASSERT(held_, "unlock() of a guard that holds nothing");
    Guard::release(*detail::take(held_));
  }

 protected:
  shared_mutex_guard() = default;
  explicit shared_mutex_guard(shared_mutex& held) noexcept : held_(&held) {}
  shared_mutex_guard(shared_mutex_guard&& other) noexcept : held_(detail::take(other.held_)) {}
  shared_mutex_guard& operator=(shared_mutex_guard&& other) noexcept {
    shared_mutex_guard taken(std::move(other));
    detail::trade(held_, taken.held_);
    return *this;
  }
  ~shared_mutex_guard() {
    if (held_) unlock();
  }

  shared_mutex* held_ = nullptr;
};

}  // namespace detail

/// Holds a shared_mutex together with other readers until it ends.
class [[nodiscard]] read_guard final : public detail::shared_mutex_guard<read_guard> {
 public:
  read_guard() = default;

 private:
  friend class shared_mutex;
  friend class write_guard;
  friend detail::shared_mutex_guard<read_guard>;
  friend detail::shared_mutex_operation<read_guard>;
  static constexpr bool exclusive = false;
  explicit read_guard(shared_mutex& held) noexcept : shared_mutex_guard(held) {}
  static void release(shared_mutex& held) noexcept;
};

/// Holds a shared_mutex alone until it ends.
class [[nodiscard]] write_guard final : public detail::shared_mutex_guard<write_guard> {
 public:
  write_guard() = default;

  /// Lets readers in, and goes on as one of them, without anybody else writing in between: those who come next in the
  /// queue up to the next writer. Leaves this guard with nothing. O(readers let in).
  read_guard downgrade() noexcept;

 private:
  friend class shared_mutex;
  friend detail::shared_mutex_guard<write_guard>;
  friend detail::shared_mutex_operation<write_guard>;
  static constexpr bool exclusive = true;
  explicit write_guard(shared_mutex& held) noexcept : shared_mutex_guard(held) {}
  static void release(shared_mutex& held) noexcept;
};

/// One writer, or any number of readers.
///
///     auto reading = co_await table.lock_shared();
///     auto writing = co_await table.lock();
///
/// First come, first served, whoever comes: a reader does not pass a writer who waits, so a stream of readers does not
/// keep writers out, and readers who wait side by side are let in together. Not recursive, also not for reading: a
/// reader that asks again waits behind a writer who waits for it. There is no upgrade from reading to writing, because
/// two readers that both want it would wait for one another for ever: release, lock(), and look again at what was read.
///
/// It costs more than a mutex, and pays where most only read and hold it across a co_await, or for long. For a value
/// that is read often and replaced seldom, a shared_ptr under a mutex that is held for the copy is better still.
///
/// Any task of any runtime and any plain thread may lock it. Allocates nothing. It must outlive its guards and all who
/// wait (told in debug builds).
class shared_mutex : private detail::shared_mutex_core {
 public:
  /// Completes once nobody else holds it and everybody who came before has had it. Never fails.
  ///
  /// Cancelled while waiting: leaves the queue and stops, and lets those go on who waited behind it only. When the lock
  /// had been handed to it before, it completes all the same. Under a token that is already cancelled it stops.
  /// Allocates nothing; O(1).
  [[nodiscard]] detail::shared_mutex_operation<write_guard> lock() noexcept WEIR_DETAIL_LIFETIMEBOUND {
    return detail::shared_mutex_operation<write_guard>(*this);
  }
  /// Completes once nobody writes and everybody who came before has been let in. The rest as for lock().
  [[nodiscard]] detail::shared_mutex_operation<read_guard> lock_shared() noexcept WEIR_DETAIL_LIFETIMEBOUND {
    return detail::shared_mutex_operation<read_guard>(*this);
  }

  /// A guard that holds it if that takes no waiting, and otherwise nothing. Passes nobody who waits. O(1).
  write_guard try_lock() noexcept WEIR_DETAIL_LIFETIMEBOUND {
    return try_lock_as(true) ? write_guard(*this) : write_guard();
  }
  read_guard try_lock_shared() noexcept WEIR_DETAIL_LIFETIMEBOUND {
    return try_lock_as(false) ? read_guard(*this) : read_guard();
  }

  /// The same for a thread outside of every runtime, which they block; it queues among the tasks. On a worker they
  /// throw std::logic_error where they would have to wait. Cannot be cancelled.
  write_guard lock_blocking() WEIR_DETAIL_LIFETIMEBOUND {
    lock_blocking_as(true,
                     "weir: shared_mutex::lock_blocking would block a worker of a runtime, and all its tasks: "
                     "co_await lock() instead");
    return write_guard(*this);
  }
  read_guard lock_shared_blocking() WEIR_DETAIL_LIFETIMEBOUND {
    lock_blocking_as(false,
                     "weir: shared_mutex::lock_shared_blocking would block a worker of a runtime, and all its "
                     "tasks: co_await lock_shared() instead");
    return read_guard(*this);
  }

  /// How often somebody had to wait for it so far, to read or to write. Any thread; counted only where somebody waits.
  using detail::shared_mutex_core::waits;

 private:
  friend class read_guard;
  friend class write_guard;
  template <class>
  friend class detail::shared_mutex_operation;
};

inline void read_guard::release(shared_mutex& held) noexcept { held.unlock_reader(); }
inline void write_guard::release(shared_mutex& held) noexcept { held.unlock_writer(); }
inline read_guard write_guard::downgrade() noexcept {
  WEIR_DETAIL_ASSERT(held_, "downgrade() of a guard that holds nothing");
  shared_mutex& held = *detail::take(held_);
  held.shared_mutex_core::downgrade();
  return read_guard(held);
}

namespace detail {

template <class Guard>
shared_mutex_core& shared_mutex_operation<Guard>::object() const noexcept {
  return target_;
}

}  // namespace detail
}  // namespace weir
