#pragma once

#include <concepts>
#include <cstdint>
#include <mutex>
#include <optional>
#include <type_traits>
#include <utility>

#include "../runtime/detail/config.hpp"
#include "../runtime/detail/invoke.hpp"
#include "../runtime/detail/take.hpp"
#include "../runtime/task.hpp"
#include "detail/domain_lock.hpp"
#include "detail/object_wait.hpp"
#include "detail/waiter.hpp"
#include "detail/waiting_thread.hpp"

namespace weir {

template <class T>
class watch;
template <class T>
class watch_observer;

namespace detail {

/// Somebody who waits for a version newer than the one that he has seen.
class watch_waiter : public waiter {
 public:
  explicit watch_waiter(const std::uint64_t& last_seen) noexcept : seen(last_seen) {}
  const std::uint64_t& seen;  // of its observer, who does nothing else meanwhile

 protected:
  watch_waiter(const watch_waiter&) = default;
  ~watch_waiter() = default;
};

/// What a watch has besides its value: versions, and who waits for the next one. Whoever waits here has seen the
/// present version.
class watch_core {
 public:
  watch_core() = default;
  watch_core(const watch_core&) = delete;
  watch_core& operator=(const watch_core&) = delete;
  ~watch_core() { WEIR_DETAIL_ASSERT(waiting_.empty(), "a watch was destroyed while somebody waits for it to change"); }

  bool try_enter(const watch_waiter& w) noexcept {
    const std::lock_guard guard(lock);
    return passes(w);
  }
  admission enter(watch_waiter& w) noexcept {
    const std::lock_guard guard(lock);
    return waiting_.admit(w, [&] { return passes(w); });
  }
  bool withdraw(watch_waiter& w) noexcept {
    const std::lock_guard guard(lock);
    return waiting_.withdraw(w);
  }
  bool arm(watch_waiter& w, case_link link) noexcept {
    w.in_select = link;
    const std::lock_guard guard(lock);
    const bool waits = !passes(w);
    if (waits) waiting_.push(w);
    return waits;
  }
  void take_out(watch_waiter& w) noexcept {
    const std::lock_guard guard(lock);
    waiting_.take_out(w);
  }
  void close() noexcept {
    locked_section inside(lock);
    closed = true;
    waiting_.take_all(inside.woken);
  }

  // With the lock held.

  void changed(locked_section& inside) noexcept {
    ++version;
    waiting_.take_all(inside.woken);
  }
  [[nodiscard]] bool passes(const watch_waiter& w) const noexcept { return closed || version != w.seen; }

  domain_lock lock;
  bool closed = false;
  std::uint64_t version = 1;

 private:
  waiter_queue waiting_;
};

template <class T>
class [[nodiscard]] watch_changed_operation final
    : public selectable_object_wait<watch_changed_operation<T>, watch_waiter, bool> {
 public:
  explicit watch_changed_operation(watch_observer<T>& observer) noexcept
      : selectable_object_wait<watch_changed_operation<T>, watch_waiter, bool>(observer.seen_), observer_(observer) {}
  watch_changed_operation(const watch_changed_operation&) = default;
  ~watch_changed_operation() = default;

  [[nodiscard]] watch_core& object() const noexcept { return observer_.watched(); }
  bool value() const noexcept { return observer_.mark_seen(); }
  [[nodiscard]] const char* name() const noexcept override { return "watch_observer::changed"; }

 private:
  watch_observer<T>& observer_;
};

template <class T>
class [[nodiscard]] watch_next_operation final
    : public selectable_object_wait<watch_next_operation<T>, watch_waiter, std::optional<T>> {
 public:
  explicit watch_next_operation(watch_observer<T>& observer) noexcept
      : selectable_object_wait<watch_next_operation<T>, watch_waiter, std::optional<T>>(observer.seen_),
        observer_(observer) {}
  watch_next_operation(const watch_next_operation&) = default;
  ~watch_next_operation() = default;

  [[nodiscard]] watch_core& object() const noexcept { return observer_.watched(); }
  std::optional<T> value() { return observer_.take_newer(); }
  [[nodiscard]] const char* name() const noexcept override { return "watch_observer::next"; }

 private:
  watch_observer<T>& observer_;
};

}  // namespace detail

/// Somebody who looks at a watch, and what he has seen of it. Move-only; one task or thread at a time, each its own. It
/// must stay where it is while an operation of it is awaited, and the watch must outlive it.
template <class T>
class [[nodiscard]] watch_observer {
 public:
  watch_observer() = default;
  watch_observer(watch_observer&& other) noexcept : watched_(detail::take(other.watched_)), seen_(other.seen_) {}
  watch_observer& operator=(watch_observer&& other) noexcept {
    watched_ = detail::take(other.watched_);
    seen_ = other.seen_;
    return *this;
  }
  ~watch_observer() = default;

  /// Whether it looks at a watch.
  explicit operator bool() const noexcept { return watched_ != nullptr; }

  /// Completes with true once the value is newer than what this observer has seen, which is then marked as seen; with
  /// false when the watch is closed and nothing newer will come. At once for a change that has come before: none is
  /// missed, several may be seen as one. Never fails.
  ///
  /// Cancelled while waiting: stops; nothing is marked. When the change had come before, completes all the same. Under
  /// a token that is already cancelled it stops. Selectable: when another case is chosen nothing is marked. Allocates
  /// nothing; O(1).
  [[nodiscard]] auto changed() noexcept WEIR_DETAIL_LIFETIMEBOUND { return detail::watch_changed_operation<T>(*this); }

  /// The same, with a copy of the value, which is the latest: `while (auto settings = co_await observer.next())`. Empty
  /// when the watch is closed and nothing newer will come. What the copy throws is thrown, and nothing is marked.
  [[nodiscard]] auto next() noexcept WEIR_DETAIL_LIFETIMEBOUND
    requires std::copy_constructible<T>
  {
    return detail::watch_next_operation<T>(*this);
  }

  /// Completes with a copy of the value as soon as it is one for which `condition(value)` holds: the present one, seen
  /// or not, or a later one. What it has looked at is marked as seen. Empty when the watch is closed and its last value
  /// is none. A value that is replaced before this task comes to look is passed over. `condition` is called by the
  /// waiting task, under the watch's lock, as by with(). What it or the copy throws is thrown, and nothing is marked.
  ///
  /// Cancelled while waiting: stops. A task of its own, so it allocates a frame.
  template <std::predicate<const T&> Condition>
  [[nodiscard]] task<std::optional<T>> wait_for(Condition condition)
    requires std::copy_constructible<T>
  {
    for (;;) {
      bool over = false;
      std::optional<T> found = find(condition, over);
      if (found || over) co_return found;
      co_await changed();
    }
  }

  /// changed() for a thread outside of every runtime, which it blocks. On a worker it throws std::logic_error where it
  /// would have to wait. Cannot be cancelled.
  bool changed_blocking() {
    detail::watch_core& core = watched();
    if (!has_changed() && !watched_->is_closed()) {
      detail::basic_waiting_thread<detail::watch_waiter> self(
          "weir: watch_observer::changed_blocking would block a worker of a runtime, and all its tasks: co_await "
          "changed() instead",
          seen_);
      if (core.enter(self) == detail::admission::queued) self.wait();
    }
    return mark_seen();
  }

  /// Whether the value is newer than what this observer has seen.
  [[nodiscard]] bool has_changed() const noexcept {
    const std::lock_guard guard(watched().lock);
    return watched().version != seen_;
  }
  /// Marks the present value as seen. True when it was newer.
  bool mark_seen() noexcept {
    const std::lock_guard guard(watched().lock);
    return std::exchange(seen_, watched().version) != watched().version;
  }
  /// Marks everything as new: changed() completes at once, and next() with the present value.
  void mark_unseen() noexcept { seen_ = 0; }

  /// A copy of the present value, which is marked as seen at once, so that no change can come between.
  T get_and_mark()
    requires std::copy_constructible<T>
  {
    auto copied = [](const T& value) { return value; };
    return with_and_mark(copied);
  }
  /// What `look(value)` returns, and the value is marked as seen: see watch::with().
  template <std::invocable<const T&> Look>
  std::invoke_result_t<Look&, const T&> with_and_mark(Look&& look) {
    static_assert(!std::is_reference_v<std::invoke_result_t<Look&, const T&>>,
                  "a reference to a watch's value is of no use without its lock: return a copy of what is needed");
    const std::lock_guard guard(watched().lock);
    const std::uint64_t before = seen_;
    seen_ = watched().version;
    try {
      return detail::invoke(look, std::as_const(watched_->value_));
    } catch (...) {
      seen_ = before;
      throw;
    }
  }

 private:
  friend class watch<T>;
  friend class detail::watch_changed_operation<T>;
  friend class detail::watch_next_operation<T>;
  watch_observer(watch<T>& watched, std::uint64_t seen) noexcept : watched_(&watched), seen_(seen) {}

  detail::watch_core& watched() const noexcept {
    WEIR_DETAIL_ASSERT(watched_, "a watch_observer is used after it was moved from");
    return watched_->core_;
  }
  std::optional<T> take_newer() {
    const std::lock_guard guard(watched().lock);
    if (watched().version == seen_) return std::nullopt;
    std::optional<T> newer(std::in_place, std::as_const(watched_->value_));
    seen_ = watched().version;
    return newer;
  }
  template <class Condition>
  std::optional<T> find(Condition& condition, bool& over) {
    const std::lock_guard guard(watched().lock);
    const T& value = watched_->value_;
    over = watched().closed;
    std::optional<T> found;
    if (detail::invoke(condition, value)) found.emplace(value);
    seen_ = watched().version;
    return found;
  }

  watch<T>* watched_ = nullptr;
  std::uint64_t seen_ = 0;  // 0: nothing
};

/// A value that changes, of which everybody wants to know the latest: settings, a state, a position.
///
///     weir::watch<settings> current(read_settings());
///     auto observer = current.observe();
///     ... current.set(read_settings());                                            // whoever changes it
///     ... while (auto now = co_await observer.next()) apply(*now);                 // whoever follows it
///
/// Changes are a level and no edge: each observer remembers which version it has seen, so a change between two waits is
/// found by the next one, and of several only the last. To get every one of them use a broadcast.
///
/// Any task of any runtime and any thread may call any member; one that was made on a confined worker belongs to that
/// worker. The value is copied, moved and looked at under a short lock: what T's copies, moves and the callables do
/// there must be short, and must not use the watch. Allocates nothing. It must outlive its observers and all who wait,
/// which debug builds tell of a waiter.
///
/// After Tokio's watch channel.
template <class T>
class watch {
  static_assert(std::is_object_v<T> && std::movable<T>, "a watch has a value that can be moved");

 public:
  using value_type = T;

  explicit watch(T initial = T()) : value_(std::move(initial)) {}
  watch(const watch&) = delete;
  watch& operator=(const watch&) = delete;
  ~watch() = default;

  /// An observer that has seen the present value: changed() waits for the next.
  watch_observer<T> observe() noexcept WEIR_DETAIL_LIFETIMEBOUND {
    const std::lock_guard guard(core_.lock);
    return watch_observer<T>(*this, core_.version);
  }

  /// Replaces the value, also by an equal one, and wakes who waits for a change. False when the watch is closed; it
  /// keeps its value then. What the moves throw is thrown; that counts as a change, if the value may have become
  /// another. The old value is destroyed without the lock. O(waiters).
  bool set(T value) {
    auto replace = [&value](T& current) {
      using std::swap;
      swap(current, value);
    };
    return modify(replace);
  }

  /// Calls `change(value)` under the lock, which counts as a change also when it throws: the exception goes to the
  /// caller. False, with nothing called, when the watch is closed. O(waiters).
  template <std::invocable<T&> Change>
  bool modify(Change&& change) {
    detail::locked_section inside(core_.lock);
    if (core_.closed) return false;
    const notification after(core_, inside);
    detail::invoke(change, value_);
    return true;
  }

  /// A copy of the present value.
  [[nodiscard]] T get() const
    requires std::copy_constructible<T>
  {
    const std::lock_guard guard(core_.lock);
    return value_;
  }
  /// What `look(value)` returns, called under the lock: for what need not, or cannot, be copied. No reference to the
  /// value may leave it.
  template <std::invocable<const T&> Look>
  std::invoke_result_t<Look&, const T&> with(Look&& look) const {
    static_assert(!std::is_reference_v<std::invoke_result_t<Look&, const T&>>,
                  "a reference to a watch's value is of no use without its lock: return a copy of what is needed");
    const std::lock_guard guard(core_.lock);
    return detail::invoke(look, value_);
  }

  /// The value will not change any more: observers that have seen it are told at once. Idempotent. O(waiters).
  void close() noexcept { core_.close(); }
  [[nodiscard]] bool is_closed() const noexcept {
    const std::lock_guard guard(core_.lock);
    return core_.closed;
  }

 private:
  friend class watch_observer<T>;

  /// Tells of a change however it ends.
  class notification {
   public:
    notification(detail::watch_core& core, detail::locked_section& inside) noexcept : core_(core), inside_(inside) {}
    notification(const notification&) = delete;
    notification& operator=(const notification&) = delete;
    ~notification() { core_.changed(inside_); }

   private:
    detail::watch_core& core_;
    detail::locked_section& inside_;
  };

  mutable detail::watch_core core_;
  T value_;
};

}  // namespace weir
