#pragma once

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <mutex>
#include <type_traits>
#include <utility>

#include "../runtime/detail/config.hpp"
#include "../runtime/detail/invoke.hpp"
#include "../runtime/task.hpp"
#include "detail/shards.hpp"
#include "detail/short_section.hpp"
#include "mutex.hpp"

namespace weir {

template <class T, class Lock = mutex, class Hash = detail::any_hash>
class sharded;

namespace detail {
template <class T>
class shard_lock_operation;
}

/// Holds one shard of a sharded<T>, or nothing, and gives access to its T; releases it at the end of its life.
/// Move-only. It may be moved to another task or thread, and the lock with it.
template <class T>
class [[nodiscard]] shard_guard {
 public:
  shard_guard() = default;

  /// Whether it holds a shard.
  explicit operator bool() const noexcept { return static_cast<bool>(lock_); }
  T& operator*() const noexcept {
    WEIR_DETAIL_ASSERT(lock_, "a shard_guard that holds nothing has no value");
    return *value_;
  }
  T* operator->() const noexcept { return &**this; }

  /// Releases before the end of its life. It must hold a shard. O(1).
  void unlock() noexcept { lock_.unlock(); }

 private:
  template <class, class, class>
  friend class sharded;
  friend class detail::shard_lock_operation<T>;
  /// `lock_it()` is the guard, which stays where it was made: a mutex tells only of such who locks it again.
  template <class Lock>
  shard_guard(T& value, Lock lock_it) noexcept(noexcept(lock_it())) : lock_(lock_it()), value_(&value) {}

  mutex_guard lock_;
  T* value_ = nullptr;
};

namespace detail {

/// A mutex_lock_operation whose guard comes with what the mutex protects.
template <class T>
class [[nodiscard]] shard_lock_operation final : public operation_base {
 public:
  using value_type = shard_guard<T>;

  shard_lock_operation(mutex& lock, T& value) noexcept : inner_(lock), value_(value) {}
  shard_lock_operation(const shard_lock_operation&) = default;
  ~shard_lock_operation() = default;

  bool ready(const await_context& context) noexcept { return inner_.ready(context); }
  std::coroutine_handle<> start(const await_context& context) noexcept { return inner_.start(context); }
  shard_guard<T> resume() noexcept {
    return shard_guard<T>(value_, [this]() noexcept { return inner_.resume(); });
  }
  result<shard_guard<T>> resume_result() noexcept { return result<shard_guard<T>>(std::in_place, resume()); }

 private:
  mutex_lock_operation inner_;
  T& value_;
};

}  // namespace detail

/// Many objects in place of one, each with its own lock, and a key says which: so that those who use different keys do
/// not wait for one another.
///
///     weir::sharded<std::map<std::string, session>> sessions;
///     auto shard = co_await sessions.lock(id);                                // held across any co_await
///     co_await sessions.with(id, [&](auto& map) { map.try_emplace(id); });    // for a short section
///
/// There are 16, unless told; any other number is rounded up to a power of two. Keys are spread by their hash, mixed,
/// so that consecutive numbers and pointers do not meet in a few shards; two keys may share a shard all the same. Each
/// has its cache lines for itself. `Hash` is for keys that std::hash does not know.
///
/// To look and then to act is one section: with() calls its callable once, under the lock, and gives back what it
/// returns. Who looks in one section and acts in another has lost what others did in between.
///
/// This one is for tasks: who waits for a shard is suspended, first come, first served, as at a mutex, and may hold it
/// across a co_await. In functions that are no coroutines sharded<T, std::mutex> is right. Any task of any runtime and
/// any plain thread may use it; but one that was made on a confined worker belongs to that worker. It must outlive its
/// guards and all who wait (told in debug builds). Making one allocates once, using it never.
template <class T, class Lock, class Hash>
class sharded {
  static_assert(std::is_same_v<Lock, mutex>, "the lock of a sharded is a weir::mutex or a std::mutex");
  static_assert(std::is_object_v<T> && std::default_initializable<T>, "each shard begins with a T() of its own");

 public:
  explicit sharded(std::size_t at_least = 16) : shards_(at_least) {}
  sharded(const sharded&) = delete;
  sharded& operator=(const sharded&) = delete;
  ~sharded() = default;

  /// Completes with a guard of the key's shard once that is had. Never fails, unless the key's hash throws. Who holds a
  /// shard and locks another key's may wait for himself, or for one who does the same the other way round: hold one at
  /// a time.
  ///
  /// Cancelled while waiting: leaves the queue and stops. When the lock had been handed to it before, it completes all
  /// the same. Under a token that is already cancelled it stops. The key is not used after the call. Allocates nothing;
  /// O(1).
  template <class Key>
  [[nodiscard]] detail::shard_lock_operation<T> lock(const Key& key) WEIR_DETAIL_LIFETIMEBOUND {
    auto& shard = shards_.of(key);
    return detail::shard_lock_operation<T>(shard.lock, shard.value);
  }

  /// Completes with what `fn(T&)` returns, which is called for the key's shard once that is had, and before it is
  /// released. Fails with what `fn` throws. `fn` is no coroutine, and should be short.
  ///
  /// Cancelled as lock(): then `fn` is not called. `fn` is referred to, not taken, and must live until it has
  /// completed. Allocates nothing; O(1) beside what `fn` does.
  template <class Key, class F>
    requires std::invocable<F, T&>
  [[nodiscard]] detail::with_lock_operation<F, T> with(const Key& key,
                                                       F&& fn WEIR_DETAIL_LIFETIMEBOUND) WEIR_DETAIL_LIFETIMEBOUND {
    static_assert(detail::short_section<F, T>());
    WEIR_DETAIL_REQUIRE_NAMED(F);
    auto& shard = shards_.of(key);
    return {shard.lock, std::forward<F>(fn), shard.value};
  }

  /// A guard of the key's shard if that takes no waiting, and otherwise of nothing. O(1).
  template <class Key>
  shard_guard<T> try_lock(const Key& key) WEIR_DETAIL_LIFETIMEBOUND {
    auto& shard = shards_.of(key);
    return shard_guard<T>(shard.value, [&] { return shard.lock.try_lock(); });
  }

  /// lock() for a thread outside of every runtime, which it blocks; it queues among the tasks. On a worker it throws
  /// std::logic_error where it would have to wait. Cannot be cancelled.
  template <class Key>
  shard_guard<T> lock_blocking(const Key& key) WEIR_DETAIL_LIFETIMEBOUND {
    auto& shard = shards_.of(key);
    return shard_guard<T>(shard.value, [&] { return shard.lock.lock_blocking(); });
  }

  /// A task that calls `fn(T&)` for one shard after the other, each under its lock; others may use the rest meanwhile,
  /// so this is no picture of one moment. Fails with what `fn` throws, and then the rest is not visited.
  ///
  /// Cancelled while it waits for a shard: stops; those before were visited. `fn` is moved into the task's frame, which
  /// is all that it allocates. O(shards).
  template <class F>
    requires std::invocable<std::decay_t<F>&, T&>
  [[nodiscard]] task<> for_each(F&& fn) WEIR_DETAIL_LIFETIMEBOUND {
    static_assert(detail::short_section<std::decay_t<F>&, T>());
    WEIR_DETAIL_REQUIRE_NAMED(F);
    return visit(shards_, std::decay_t<F>(std::forward<F>(fn)));
  }

  [[nodiscard]] std::size_t shard_count() const noexcept { return shards_.size(); }
  /// The number of the key's shard, from 0: who shares it, shares its lock.
  template <class Key>
  [[nodiscard]] std::size_t shard_of(const Key& key) const {
    return shards_.index(key);
  }

 private:
  using shards = detail::shards<T, mutex, Hash>;

  template <class F>
  static task<> visit(const shards& all, F fn) {
    for (auto& shard : all) {
      const mutex_guard held = co_await shard.lock.lock();
      detail::invoke(fn, shard.value);
    }
  }

  const shards shards_;
};

/// The same with std::mutex, for functions that are no coroutines: with() is a plain call that blocks the thread as
/// long as others are inside. There is no guard, since a std::mutex must not be held across a co_await.
///
///     weir::sharded<std::unordered_map<std::string, long>, std::mutex> hits;
///     hits.with(path, [&](auto& map) { ++map[path]; });
///
/// Any thread may use it, in or out of a runtime; also where it was made on a confined worker.
template <class T, class Hash>
class sharded<T, std::mutex, Hash> {
  static_assert(std::is_object_v<T> && std::default_initializable<T>, "each shard begins with a T() of its own");

 public:
  explicit sharded(std::size_t at_least = 16) : shards_(at_least) {}
  sharded(const sharded&) = delete;
  sharded& operator=(const sharded&) = delete;
  ~sharded() = default;

  /// Calls `fn(T&)` for the key's shard, under its lock, and returns what it returns. `fn` should be short, is no
  /// coroutine, and may not use the same shard again. Allocates nothing; O(1) beside what `fn` does.
  template <class Key, class F>
    requires std::invocable<F, T&>
  auto with(const Key& key, F&& fn) {
    static_assert(detail::short_section<F, T>());
    auto& shard = shards_.of(key);
    const std::lock_guard guard(shard.lock);
    return detail::invoke(std::forward<F>(fn), shard.value);
  }

  /// Calls `fn(T&)` for one shard after the other, each under its lock; others may use the rest meanwhile, so this is
  /// no picture of one moment. What `fn` throws ends it. O(shards).
  template <class F>
    requires std::invocable<F&, T&>
  void for_each(F&& fn) {
    static_assert(detail::short_section<F&, T>());
    for (auto& shard : shards_) {
      const std::lock_guard guard(shard.lock);
      detail::invoke(fn, shard.value);
    }
  }

  [[nodiscard]] std::size_t shard_count() const noexcept { return shards_.size(); }
  /// The number of the key's shard, from 0: who shares it, shares its lock.
  template <class Key>
  [[nodiscard]] std::size_t shard_of(const Key& key) const {
    return shards_.index(key);
  }

 private:
  const detail::shards<T, std::mutex, Hash> shards_;
};

}  // namespace weir
