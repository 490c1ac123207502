#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

#include "detail/config.hpp"
#include "detail/intrusive_ring.hpp"
#include "detail/spin_lock.hpp"
#include "errors.hpp"

namespace weir {

namespace detail {

/// A function to call once when a cancellation_state is cancelled.
class callback_node : public list_hook {
 protected:
  ~callback_node() = default;

 private:
  friend class cancellation_state;
  virtual void invoke(cancellation_cause cause) noexcept = 0;
  // Set when the call has returned: from then on the state is not touched for this node, so the state may be gone.
  std::atomic<bool> finished_{false};
};

/// Whether something was cancelled, why, and whom to tell. Usable from any thread. The base of every scope's state.
class cancellation_state {
 public:
  cancellation_state() = default;
  cancellation_state(const cancellation_state&) = delete;
  cancellation_state& operator=(const cancellation_state&) = delete;

  [[nodiscard]] bool requested() const noexcept { return cause() != cancellation_cause::none; }
  [[nodiscard]] cancellation_cause cause() const noexcept { return cause_.load(std::memory_order_acquire); }

  /// Cancels; false when that had already happened. Calls the callbacks on this thread, newest last.
  bool request(cancellation_cause cause) noexcept;

  /// Registers `node`; calls it at once when already cancelled.
  void add(callback_node& node) noexcept;
  /// Unregisters `node`. Waits for a call that runs on another thread; returns at once inside the call itself. Once the
  /// call has returned the state is not looked at: it may be gone.
  static void remove(cancellation_state& from, callback_node& node) noexcept {
    if (!node.finished_.load(std::memory_order_acquire)) from.remove_unfinished(node);
  }

 protected:
  ~cancellation_state() = default;

 private:
  /// What a derived scope does beside calling callbacks.
  virtual void propagate(cancellation_cause) noexcept {}
  void run_callbacks(cancellation_cause cause) noexcept;
  void remove_unfinished(callback_node& node) noexcept;

  struct running_call;  // the callback that a thread is calling just now
  // The small members stand last: derived states put theirs into the same word.
  running_call* running_ = nullptr;          // guarded by lock_
  intrusive_ring<callback_node> callbacks_;  // guarded by lock_
  std::atomic<cancellation_cause> cause_{cancellation_cause::none};
  spin_lock lock_;
};

class plain_state final : public cancellation_state {};

template <class Op>
class with_cancellation_operation;

}  // namespace detail

/// A view of a cancellation: asks whether it was requested. A pointer in size; valid while the source, or the scope
/// that it was taken from, lives. A default-made token is never cancelled.
class cancellation_token {
 public:
  cancellation_token() = default;
  explicit cancellation_token(detail::cancellation_state* state) noexcept : state_(state) {}

  [[nodiscard]] bool is_cancellation_requested() const noexcept { return state_ && state_->requested(); }
  [[nodiscard]] bool can_be_cancelled() const noexcept { return state_ != nullptr; }
  [[nodiscard]] cancellation_cause cause() const noexcept {
    return state_ ? state_->cause() : cancellation_cause::none;
  }
  friend bool operator==(cancellation_token, cancellation_token) = default;

 private:
  template <class>
  friend class cancellation_callback;
  template <class>
  friend class detail::with_cancellation_operation;
  detail::cancellation_state* state_ = nullptr;
};

/// Lets somebody cancel: hand out token(), call request_cancellation() from any thread. Allocates nothing, so it must
/// outlive what it may stop; its destructor cancels what is still registered.
class cancellation_source {
 public:
  cancellation_source() = default;
  cancellation_source(const cancellation_source&) = delete;
  cancellation_source& operator=(const cancellation_source&) = delete;
  ~cancellation_source() { state_.request(cancellation_cause::requested); }

  [[nodiscard]] cancellation_token token() noexcept WEIR_DETAIL_LIFETIMEBOUND { return cancellation_token(&state_); }
  /// Cancels. False when it had been cancelled before. Callbacks run on the calling thread before it returns; tasks are
  /// only told, and unwind on their own workers. Any thread; O(number of registered).
  bool request_cancellation() noexcept { return state_.request(cancellation_cause::requested); }
  [[nodiscard]] bool is_cancellation_requested() const noexcept { return state_.requested(); }

 private:
  detail::plain_state state_;
};

/// Calls `callback` once when `token` is cancelled: on the cancelling thread, or at once in the constructor when it
/// already is. `callback` must not throw. The destructor unregisters and waits for a call that is running on another
/// thread. Allocates nothing.
template <class F>
class [[nodiscard]] cancellation_callback final : private detail::callback_node {
 public:
  cancellation_callback(cancellation_token token, F callback) : state_(token.state_), callback_(std::move(callback)) {
    if (state_) state_->add(*this);
  }
  cancellation_callback(const cancellation_callback&) = delete;
  cancellation_callback& operator=(const cancellation_callback&) = delete;
  ~cancellation_callback() {
    if (state_) detail::cancellation_state::remove(*state_, *this);
  }

 private:
  void invoke(cancellation_cause) noexcept override { callback_(); }

  detail::cancellation_state* state_;
  F callback_;
};

}  // namespace weir
