#pragma once

#include <concepts>
#include <memory>
#include <mutex>
#include <type_traits>
#include <utility>

#include "../runtime/detail/config.hpp"
#include "../runtime/detail/invoke.hpp"
#include "../runtime/detail/take.hpp"
#include "../runtime/task.hpp"
#include "detail/counted_link.hpp"

namespace weir {

template <class T>
class snapshot;

namespace detail {

template <class T>
class snapshot_value final : public counted_object {
 public:
  explicit snapshot_value(T&& of) noexcept(std::is_nothrow_move_constructible_v<T>) : value(std::move(of)) {}
  T value;
};

}  // namespace detail

/// One version of a snapshot's value, which it keeps alive: a pointer to a constant T, or to nothing. It does not
/// change when the snapshot does, and may outlive it. Copying and ending it take one atomic instruction each; the last
/// one to go destroys the value, unless the snapshot still has it. As a shared_ptr: several threads may each have their
/// own.
template <class T>
class [[nodiscard]] snapshot_version {
 public:
  snapshot_version() = default;
  snapshot_version(const snapshot_version& other) noexcept : of_(other.of_) {
    if (of_) of_->hold();
  }
  snapshot_version(snapshot_version&& other) noexcept : of_(detail::take(other.of_)) {}
  snapshot_version& operator=(snapshot_version other) noexcept {
    detail::trade(of_, other.of_);
    return *this;
  }
  ~snapshot_version() {
    if (of_ && of_->release()) delete of_;
  }

  explicit operator bool() const noexcept { return of_ != nullptr; }
  [[nodiscard]] const T* get() const noexcept WEIR_DETAIL_LIFETIMEBOUND { return of_ ? &of_->value : nullptr; }
  /// It must have a value.
  const T& operator*() const noexcept WEIR_DETAIL_LIFETIMEBOUND {
    WEIR_DETAIL_ASSERT(of_, "a snapshot_version that is empty or was moved from has no value");
    return of_->value;
  }
  const T* operator->() const noexcept WEIR_DETAIL_LIFETIMEBOUND { return &**this; }

  /// Whether both are the same version; equal values of two versions are not.
  friend bool operator==(const snapshot_version& a, const snapshot_version& b) noexcept { return a.of_ == b.of_; }

 private:
  friend class snapshot<T>;
  /// Takes over one reference.
  explicit snapshot_version(detail::snapshot_value<T>& held) noexcept : of_(&held) {}

  detail::snapshot_value<T>* of_ = nullptr;
};

/// A value that many read and few replace: configuration, routes, prices.
///
///     weir::snapshot<routes> table(load_routes());
///     auto current = table.load();                              // per request: this version, as long as it is wanted
///     table.update([&](routes& r) { r.add(path, handler); });   // changes a copy, and swaps
///
/// What belongs together is in one T and changes in one step: a reader has the old version or the new one, never a part
/// of each, and keeps what it has across any co_await. Readers wait for nobody and writers not for readers: an old
/// version ends when the last who holds it lets go. Writers take turns, so no update is lost.
///
/// Any thread may use it, in or out of a runtime; also where it was made on a confined worker. Nothing here is awaited.
/// A load is one atomic instruction on a word that all readers share: about as dear as copying a shared_ptr. Who reads
/// many values in a row loads once. The snapshot must outlive the calls on it, but not the versions.
template <class T>
class snapshot {
  static_assert(std::is_object_v<T> && !std::is_const_v<T> && std::move_constructible<T>,
                "a snapshot keeps a value that can be moved: snapshot<config>, not snapshot<const config&>");

 public:
  using version = snapshot_version<T>;

  snapshot()
    requires std::default_initializable<T>
      : snapshot(T()) {}
  /// Allocates.
  explicit snapshot(T first) : current_(new detail::snapshot_value<T>(std::move(first))), link_(*current_) {}
  snapshot(const snapshot&) = delete;
  snapshot& operator=(const snapshot&) = delete;
  ~snapshot() { unheld(link_.end()); }

  /// The version of this moment. Wait-free, allocates nothing. What its writer did before is seen.
  [[nodiscard]] version load() const noexcept { return version(static_cast<detail::snapshot_value<T>&>(link_.hold())); }

  /// Makes `value` the current version. Waits for other writers, as long as their `fn` takes. Throws what `value`'s
  /// move throws, or std::bad_alloc, and then nothing has changed. Allocates one version.
  void store(T value) {
    auto* const next = new detail::snapshot_value<T>(std::move(value));
    ended old;
    const std::lock_guard guard(writing_);
    old = replace(*next);
  }

  /// The same, but only if `seen` is still the current version: for a value that was computed from it, at leisure and
  /// across any co_await. False: somebody else was faster, nothing has changed, and `value` has gone: load and compute
  /// again.
  [[nodiscard]] bool store_if(const version& seen, T value) {
    ended next(new detail::snapshot_value<T>(std::move(value)));
    ended old;
    const std::lock_guard guard(writing_);
    if (current_ != seen.of_) return false;
    old = replace(*next.release());
    return true;
  }

  /// Copies the current version, calls `fn(T&)` for the copy and makes it the current version; returns what `fn`
  /// returns. Other writers wait meanwhile and block their threads: `fn` should be short, and may not write
  /// this snapshot. When copy or `fn` throws, nothing has changed. Allocates one version.
  template <class F>
    requires(std::invocable<F, T&> && std::copy_constructible<T>)
  auto update(F&& fn) {
    using returned = std::invoke_result_t<F, T&>;
    static_assert(!detail::operation<returned>,
                  "update() changes the copy at once and awaits nothing: load(), compute, store_if()");
    static_assert(!std::is_reference_v<returned>, "a reference into a version does not keep it alive: return a copy");
    ended next;
    ended old;
    const std::lock_guard guard(writing_);
    next.reset(new detail::snapshot_value<T>(T(std::as_const(current_->value))));
    if constexpr (std::is_void_v<returned>) {
      detail::invoke(std::forward<F>(fn), next->value);
      old = replace(*next.release());
    } else {
      returned answer = detail::invoke(std::forward<F>(fn), next->value);
      old = replace(*next.release());
      return answer;
    }
  }

 private:
  // A version that is destroyed with this, if any: declared before the lock is taken, so that it happens after that was
  // released. Destructors of versions are the user's.
  using ended = std::unique_ptr<detail::snapshot_value<T>>;

  /// Under the lock.
  ended replace(detail::snapshot_value<T>& next) noexcept {
    current_ = &next;
    return unheld(link_.replace(next));
  }
  static ended unheld(const detail::replaced_object& old) noexcept {
    return ended(old.unheld ? static_cast<detail::snapshot_value<T>*>(old.object) : nullptr);
  }

  std::mutex writing_;
  detail::snapshot_value<T>* current_;  // where link_ points to, for writers
  mutable detail::counted_link<> link_;
};

}  // namespace weir
