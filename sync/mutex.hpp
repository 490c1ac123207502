#pragma once

#include <atomic>
#include <concepts>
#include <coroutine>
#include <cstdint>
#include <tuple>
#include <utility>

#include "../runtime/detail/config.hpp"
#include "../runtime/detail/counter.hpp"
#include "../runtime/detail/operation.hpp"
#include "../runtime/detail/take.hpp"
#include "detail/short_section.hpp"
#include "detail/state_lock.hpp"
#include "detail/waiter.hpp"

namespace weir {

class condition_variable;
class mutex;

namespace detail {
class condition_wait_operation;
class condition_waiting_thread;
}  // namespace detail

/// Holds a mutex, or nothing; releases it at the end of its life. Move-only. It may be moved to another task or thread,
/// and the lock with it.
class [[nodiscard]] mutex_guard {
 public:
  mutex_guard() = default;
  mutex_guard(mutex_guard&& other) noexcept;
  mutex_guard& operator=(mutex_guard&& other) noexcept {
    mutex_guard taken(std::move(other));
    detail::trade(mutex_, taken.mutex_);
    return *this;
  }
  ~mutex_guard() {
    if (mutex_) unlock();
  }

  /// Whether it holds a mutex.
  explicit operator bool() const noexcept { return mutex_ != nullptr; }

  /// Releases before the end of its life. It must hold a mutex. O(1).
  void unlock() noexcept;

 private:
  friend class mutex;
  friend class condition_variable;
  mutex_guard(mutex& held, const void* holder) noexcept;

  mutex* mutex_ = nullptr;
};

namespace detail {

class [[nodiscard]] mutex_lock_operation final : public operation_base, public waiting_leaf {
 public:
  using value_type = mutex_guard;

  explicit mutex_lock_operation(mutex& target) noexcept : mutex_(target) {}
  mutex_lock_operation(const mutex_lock_operation&) = default;
  ~mutex_lock_operation() = default;

  bool ready(const await_context& context) noexcept;
  std::coroutine_handle<> start(const await_context& context) noexcept;
  mutex_guard resume() noexcept;
  result<mutex_guard> resume_result() noexcept { return result<mutex_guard>(std::in_place, resume()); }
  [[nodiscard]] const char* name() const noexcept override { return "mutex::lock"; }
  [[nodiscard]] const void* held_by() const noexcept override;

 private:
  std::coroutine_handle<> enqueue(const await_context& context) noexcept;
  void request_stop(cancellation_cause) noexcept override;

  mutex& mutex_;
  const promise_base* task_ = nullptr;
};

/// A mutex_lock_operation that calls `section`, with references to what the mutex protects, while it is held.
template <class F, class... T>
class [[nodiscard]] with_lock_operation final : public operation_base {
 public:
  using value_type = locked_result<F, T...>;

  with_lock_operation(mutex& lock, F&& section, T&... values) noexcept
      : inner_(lock), values_(values...), section_(std::forward<F>(section)) {}
  with_lock_operation(with_lock_operation&&) = default;
  ~with_lock_operation() = default;

  bool ready(const await_context& context) noexcept { return inner_.ready(context); }
  std::coroutine_handle<> start(const await_context& context) noexcept { return inner_.start(context); }
  value_type resume() {
    const mutex_guard held = inner_.resume();
    return std::apply(std::forward<F>(section_), values_);
  }
  result<value_type> resume_result() noexcept {
    return capture<value_type>([this]() -> value_type { return resume(); });
  }

 private:
  mutex_lock_operation inner_;
  std::tuple<T&...> values_;
  F&& section_;
};

}  // namespace detail

/// One task or thread at a time.
///
///     auto guard = co_await m.lock();
///     balance -= amount;
///     co_await journal.write(amount);  // still held
///
/// Who waits is suspended, not spinning, and gets the lock first come, first served: unlocking hands it to the one that
/// has waited longest, and nobody can come in between. Any task of any runtime and any plain thread may lock it, and a
/// guard may be released elsewhere than it was gained. Not recursive: a task that locks what it holds would wait for
/// itself; debug builds tell that, unless the guard has been moved meanwhile or came from try_lock().
///
/// Holding it across a co_await is what it is for. Where no co_await stands between lock and unlock, a std::mutex is
/// right: it is as cheap, blocks a worker only as long as the section lasts, and is known to every tool. (Never hold a
/// std::mutex across a co_await: the task may go on in another thread.)
///
/// dump_tasks(), and the report of a deadlock, say of a task that waits which task holds the lock, as long as its guard
/// stays where it was made. (So a guard that is made on the heap and outlives its task is to be moved there:
/// `auto g = co_await m.lock(); new session(std::move(g))`.) waits() tells whether the lock is a hot one.
///
/// Uncontended, locking and unlocking are one atomic instruction each, and none for a mutex that was made on a confined
/// worker: that one belongs to the worker, and so do its guards. Allocates nothing. It must outlive its guards and all
/// who wait (told in debug builds); the last one to unlock it may destroy it at once.
class mutex {
 public:
  mutex() = default;
  mutex(const mutex&) = delete;
  mutex& operator=(const mutex&) = delete;
  ~mutex() { WEIR_DETAIL_ASSERT(lock_.last() == 0, "a mutex was destroyed while somebody holds it or waits for it"); }

  /// Completes with a guard once the lock is had. Never fails.
  ///
  /// Cancelled while waiting: leaves the queue and stops. When the lock had been handed to it before, it completes all
  /// the same. Under a token that is already cancelled it stops, even if the mutex is free. Allocates nothing; O(1).
  [[nodiscard]] detail::mutex_lock_operation lock() noexcept WEIR_DETAIL_LIFETIMEBOUND {
    return detail::mutex_lock_operation(*this);
  }

  /// A guard that holds the mutex, if nobody does, and otherwise nothing: `if (auto guard = m.try_lock()) ...`. O(1).
  mutex_guard try_lock() noexcept WEIR_DETAIL_LIFETIMEBOUND {
    return acquire() || acquire_if_free() ? guard(nullptr) : mutex_guard();
  }

  /// lock() for a thread outside of every runtime, which it blocks; it queues among the tasks. On a worker it throws
  /// std::logic_error where it would have to wait. Cannot be cancelled.
  mutex_guard lock_blocking() WEIR_DETAIL_LIFETIMEBOUND {
    if (!acquire()) block();
    return guard(this_thread());
  }

  /// Locks, calls `section`, and unlocks: completes with what that returns, or throws what it throws. For sections in
  /// which nothing is awaited: a callable that returns a task, or a reference to what the lock protects, is refused.
  /// Cancelled as lock(): then `section` is not called. It is referred to, not taken, and must live until this has
  /// completed. Allocates nothing.
  template <std::invocable F>
  [[nodiscard]] detail::with_lock_operation<F> with_lock(F&& section WEIR_DETAIL_LIFETIMEBOUND)
      WEIR_DETAIL_LIFETIMEBOUND {
    static_assert(detail::short_section<F>());
    WEIR_DETAIL_REQUIRE_NAMED(F);
    return {*this, std::forward<F>(section)};
  }

  /// How often somebody had to wait for it so far. Beside how often it is locked, which you know, it tells whether it
  /// is worth splitting: see sharded. Any thread; counted only where somebody waits.
  [[nodiscard]] std::uint64_t waits() const noexcept { return waits_.read(); }

 private:
  friend class mutex_guard;
  friend class detail::mutex_lock_operation;
  friend class detail::condition_wait_operation;
  friend class detail::condition_waiting_thread;
  using state = detail::state_lock::state;
  // Without `awaited` nobody waits; with it, maybe. Somebody who waits means that it is locked.
  static constexpr state locked = 1;
  static constexpr state awaited = 2;

  bool acquire() noexcept {
    state free = 0;
    return lock_.change(free, locked);
  }
  /// `here` as for domain::check().
  bool acquire(const void* here) noexcept {
    state free = 0;
    return lock_.change(free, locked, here);
  }
  bool acquire_if_free() noexcept;
  mutex_guard guard(const void* holder) noexcept { return mutex_guard(*this, holder); }
  void release() noexcept {
    holder_.store(nullptr, std::memory_order_relaxed);
    if (!lock_.change_if(locked, 0)) hand_over();
  }
  void hand_over() noexcept;
  void queue(detail::waiter& w) noexcept {
    waits_.add();
    waiting_.push(w);
  }
  detail::admission enter(detail::waiter& w) noexcept;
  /// For who is not to be refused. True: it has the lock; false: it will be woken with it.
  bool enter_for_certain(detail::waiter& w) noexcept;
  void block();

  /// Whether `task`, or a task that waits for it to return, holds the lock: then waiting would be for ever.
  [[nodiscard]] bool held_along(const detail::promise_base& task) const noexcept;
  /// An address that no other thread has.
  static const void* this_thread() noexcept;

  detail::state_lock lock_;
  detail::waiter_queue waiting_;
  detail::counter waits_;  // raised by whoever has the lock of waiting_
  // The frame or thread in which the lock was gained, as long as the guard stays where it was made; otherwise null. An
  // address to compare with, never to follow.
  std::atomic<const void*> holder_{nullptr};
};

inline mutex_guard::mutex_guard(mutex& held, const void* holder) noexcept : mutex_(&held) {
  held.holder_.store(holder, std::memory_order_relaxed);
}

inline mutex_guard::mutex_guard(mutex_guard&& other) noexcept : mutex_(detail::take(other.mutex_)) {
  if (mutex_) mutex_->holder_.store(nullptr, std::memory_order_relaxed);
}

inline void mutex_guard::unlock() noexcept {
  WEIR_DETAIL_ASSERT(mutex_, "unlock() of a mutex_guard that holds nothing");
  detail::take(mutex_)->release();
}

namespace detail {

inline bool mutex_lock_operation::ready(const await_context& context) noexcept {
  task_ = context.frame;
  return may_complete_now(context) && mutex_.acquire(context.env->runtime);
}

inline std::coroutine_handle<> mutex_lock_operation::start(const await_context& context) noexcept {
  WEIR_DETAIL_ASSERT(!mutex_.held_along(*context.frame),
                     "a task locks a mutex that it already holds, and would wait for itself for ever: release the "
                     "guard first, or pass it on");
  return enqueue(context);
}

inline const void* mutex_lock_operation::held_by() const noexcept {
  return mutex_.holder_.load(std::memory_order_relaxed);
}

inline mutex_guard mutex_lock_operation::resume() noexcept {
  finish();
  return mutex_.guard(task_);
}

}  // namespace detail
}  // namespace weir
