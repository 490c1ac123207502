#pragma once

#include <atomic>
#include <concepts>
#include <cstdint>
#include <mutex>
#include <optional>
#include <type_traits>
#include <utility>

#include "../runtime/detail/config.hpp"
#include "../runtime/detail/take.hpp"
#include "detail/domain_lock.hpp"
#include "detail/object_wait.hpp"
#include "detail/waiter.hpp"
#include "detail/waiting_thread.hpp"

namespace weir {

template <class T>
class oneshot_sender;
template <class T>
class oneshot_receiver;

namespace detail {

/// What the two ends share: at most one value, in one direction.
template <class T>
class oneshot_core {
 public:
  oneshot_core() = default;
  oneshot_core(const oneshot_core&) = delete;
  oneshot_core& operator=(const oneshot_core&) = delete;

  // A request and its reply come and go with tasks: their memory is recycled as frames are.
  static void* operator new(std::size_t size) { return allocate_record(size); }
  static void operator delete(void* core, std::size_t size) noexcept { release_record(core, size); }

  /// By one of the two owners.
  void let_go() noexcept {
    if (owners_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  /// What the value's move throws goes to the caller, and nothing was sent.
  template <class U>
  bool send(U&& value) {
    locked_section inside(lock_);
    if (receiver_gone_) return false;
    value_.emplace(std::forward<U>(value));
    settle(inside.woken);
    return true;
  }
  void drop_sender() noexcept {
    locked_section inside(lock_);
    settle(inside.woken);
  }
  void drop_receiver() noexcept {
    locked_section inside(lock_);
    receiver_gone_ = true;  // a value that was sent ends with the core: its sender has let go, or is about to
    abandoning_.take_all(inside.woken);
  }
  [[nodiscard]] bool receiver_gone() noexcept {
    const std::lock_guard guard(lock_);
    return receiver_gone_;
  }
  /// By the receiver, once it is settled: nobody else touches the value any more.
  std::optional<T> take() {
    std::optional<T> taken = std::move(value_);
    value_.reset();
    return taken;
  }
  [[nodiscard]] bool settled() noexcept {
    const std::lock_guard guard(lock_);
    return settled_;
  }

  /// One of the two things that can be waited for.
  class side {
   public:
    side(oneshot_core& core, bool& happened, waiter_queue& waiting) noexcept
        : core_(core), happened_(happened), waiting_(waiting) {}
    bool try_enter(const waiter&) noexcept {
      const std::lock_guard guard(core_.lock_);
      return happened_;
    }
    admission enter(waiter& w) noexcept {
      const std::lock_guard guard(core_.lock_);
      return waiting_.admit(w, [this] { return happened_; });
    }
    bool withdraw(waiter& w) noexcept {
      const std::lock_guard guard(core_.lock_);
      return waiting_.withdraw(w);
    }
    bool arm(waiter& w, case_link link) noexcept {
      w.in_select = link;
      const std::lock_guard guard(core_.lock_);
      const bool waits = !happened_;
      if (waits) waiting_.push(w);
      return waits;
    }
    void take_out(waiter& w) noexcept {
      const std::lock_guard guard(core_.lock_);
      waiting_.take_out(w);
    }

   private:
    oneshot_core& core_;
    bool& happened_;
    waiter_queue& waiting_;
  };
  side value_side{*this, settled_, receiving_};
  side abandoned_side{*this, receiver_gone_, abandoning_};

 private:
  void settle(intrusive_list<waiter>& woken) noexcept {
    settled_ = true;
    receiving_.take_all(woken);
  }

  domain_lock lock_;
  bool settled_ = false;  // a value was sent, or will not be
  bool receiver_gone_ = false;
  std::optional<T> value_;
  waiter_queue receiving_;
  waiter_queue abandoning_;
  std::atomic<unsigned> owners_{2};
};

template <class T>
class [[nodiscard]] oneshot_receive_operation final
    : public selectable_object_wait<oneshot_receive_operation<T>, waiter, std::optional<T>> {
 public:
  explicit oneshot_receive_operation(oneshot_core<T>& core) noexcept : core_(core) {}
  oneshot_receive_operation(const oneshot_receive_operation&) = default;
  ~oneshot_receive_operation() = default;

  [[nodiscard]] auto& object() const noexcept { return core_.value_side; }
  std::optional<T> value() { return core_.take(); }
  [[nodiscard]] const char* name() const noexcept override { return "oneshot_receiver::receive"; }

 private:
  oneshot_core<T>& core_;
};

template <class T>
class [[nodiscard]] oneshot_abandoned_operation final
    : public selectable_object_wait<oneshot_abandoned_operation<T>, waiter, void> {
 public:
  explicit oneshot_abandoned_operation(oneshot_core<T>& core) noexcept : core_(core) {}
  oneshot_abandoned_operation(const oneshot_abandoned_operation&) = default;
  ~oneshot_abandoned_operation() = default;

  [[nodiscard]] auto& object() const noexcept { return core_.abandoned_side; }
  void value() const noexcept {}
  [[nodiscard]] const char* name() const noexcept override { return "oneshot_sender::abandoned"; }

 private:
  oneshot_core<T>& core_;
};

}  // namespace detail

/// Both ends of a oneshot: what make_oneshot() returns.
template <class T>
struct oneshot_ends;

/// One value, once, from one task or thread to another: the reply to a request.
///
///     auto [reply, answer] = weir::make_oneshot<int>();
///     co_await requests.send({question, std::move(reply)});
///     std::optional<int> n = co_await answer.receive();  // empty: whoever had it let it go without an answer
///
/// Takes one block for both ends, of those that the worker recycles: in a steady flow of requests nothing is allocated.
template <class T>
oneshot_ends<T> make_oneshot();

/// The end that sends. Move-only; one thread at a time. When it goes without having sent, the receiver is told.
template <class T>
class oneshot_sender {
  static_assert(std::is_object_v<T> && std::move_constructible<T>, "a oneshot carries a value that can be moved");
  static_assert(alignof(T) <= 16, "over-aligned values do not fit its memory: send a std::unique_ptr");

 public:
  oneshot_sender() = default;
  oneshot_sender(oneshot_sender&& other) noexcept : core_(detail::take(other.core_)) {}
  oneshot_sender& operator=(oneshot_sender&& other) noexcept {
    oneshot_sender taken(std::move(other));
    detail::trade(core_, taken.core_);
    return *this;
  }
  ~oneshot_sender() { reset(); }

  /// Whether it can still send.
  explicit operator bool() const noexcept { return core_ != nullptr; }

  /// Hands the value over, and lets go. False when the receiver has gone; then `value` is untouched. Where its move
  /// throws, nothing was sent and it may be tried again. Never waits. O(1).
  bool send(T&& value) { return send_and_let_go(std::move(value)); }
  bool send(const T& value)
    requires std::copy_constructible<T>
  {
    return send_and_let_go(value);
  }

  /// Whether the receiver has gone, so that no answer is wanted any more.
  [[nodiscard]] bool is_abandoned() const noexcept { return core().receiver_gone(); }
  /// Completes when the receiver has gone: `when_any(compute(), reply.abandoned())`. Never fails. Cancelled while
  /// waiting: stops, nothing else. Selectable. The sender must stay where it is meanwhile. Allocates nothing; O(1).
  [[nodiscard]] detail::oneshot_abandoned_operation<T> abandoned() noexcept WEIR_DETAIL_LIFETIMEBOUND {
    return detail::oneshot_abandoned_operation<T>(core());
  }

  /// Lets go without sending. Idempotent.
  void reset() noexcept {
    if (auto* const core = detail::take(core_)) {
      core->drop_sender();
      core->let_go();
    }
  }

 private:
  friend oneshot_ends<T> make_oneshot<T>();
  explicit oneshot_sender(detail::oneshot_core<T>* core) noexcept : core_(core) {}

  detail::oneshot_core<T>& core() const noexcept {
    WEIR_DETAIL_ASSERT(core_, "a oneshot_sender is used after it has sent, or was moved from");
    return *core_;
  }
  template <class U>
  bool send_and_let_go(U&& value) {
    const bool sent = core().send(std::forward<U>(value));
    detail::take(core_)->let_go();
    return sent;
  }

  detail::oneshot_core<T>* core_ = nullptr;
};

/// The end that receives. Move-only; one thread at a time. When it goes, the sender is told.
template <class T>
class oneshot_receiver {
 public:
  oneshot_receiver() = default;
  oneshot_receiver(oneshot_receiver&& other) noexcept : core_(detail::take(other.core_)) {}
  oneshot_receiver& operator=(oneshot_receiver&& other) noexcept {
    oneshot_receiver taken(std::move(other));
    detail::trade(core_, taken.core_);
    return *this;
  }
  ~oneshot_receiver() { reset(); }

  /// Whether it has a sender, or had one that has not been received from.
  explicit operator bool() const noexcept { return core_ != nullptr; }

  /// Completes with the value; empty when the sender has gone without sending, or it was received before. What the
  /// value's move throws is thrown.
  ///
  /// Cancelled while waiting: stops, and a value that comes later can still be received. When it had come before, it
  /// completes with it all the same. Under a token that is already cancelled it stops. Selectable: when another case is
  /// chosen the value stays. The receiver must stay where it is meanwhile. Allocates nothing; O(1).
  [[nodiscard]] detail::oneshot_receive_operation<T> receive() noexcept WEIR_DETAIL_LIFETIMEBOUND {
    return detail::oneshot_receive_operation<T>(core());
  }

  /// The value if it has come and was not received before.
  std::optional<T> try_receive() { return core().settled() ? core().take() : std::nullopt; }

  /// receive() for a thread outside of every runtime, which it blocks. On a worker it throws std::logic_error where it
  /// would have to wait. Cannot be cancelled.
  std::optional<T> receive_blocking() {
    if (!core().settled()) {
      detail::waiting_thread self(
          "weir: oneshot_receiver::receive_blocking would block a worker of a runtime, and all its tasks: co_await "
          "receive() instead");
      if (core().value_side.enter(self) == detail::admission::queued) self.wait();
    }
    return core().take();
  }

  /// Wants no value any more. Idempotent.
  void reset() noexcept {
    if (auto* const core = detail::take(core_)) {
      core->drop_receiver();
      core->let_go();
    }
  }

 private:
  friend oneshot_ends<T> make_oneshot<T>();
  explicit oneshot_receiver(detail::oneshot_core<T>* core) noexcept : core_(core) {}

  detail::oneshot_core<T>& core() const noexcept {
    WEIR_DETAIL_ASSERT(core_, "a oneshot_receiver is used after it was moved from");
    return *core_;
  }

  detail::oneshot_core<T>* core_ = nullptr;
};

template <class T>
struct oneshot_ends {
  oneshot_sender<T> sender;
  oneshot_receiver<T> receiver;
};

template <class T>
oneshot_ends<T> make_oneshot() {
  auto* const core = new detail::oneshot_core<T>;
  return {oneshot_sender<T>(core), oneshot_receiver<T>(core)};
}

}  // namespace weir
