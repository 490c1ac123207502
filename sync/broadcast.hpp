#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "../runtime/detail/config.hpp"
#include "detail/broadcast_core.hpp"
#include "detail/channel_operations.hpp"
#include "detail/object_wait.hpp"
#include "detail/waiting_thread.hpp"

namespace weir {

template <class T>
class broadcast;

namespace detail {

template <class T>
class [[nodiscard]] broadcast_receive_operation final
    : public selectable_object_wait<broadcast_receive_operation<T>, waiter, std::optional<T>> {
 public:
  explicit broadcast_receive_operation(broadcast_seat<T>& seat) noexcept : seat_(seat) {}
  broadcast_receive_operation(const broadcast_receive_operation&) = default;
  ~broadcast_receive_operation() = default;

  [[nodiscard]] broadcast_seat<T>& object() const noexcept { return seat_; }
  std::optional<T> value() { return seat_.take(); }
  [[nodiscard]] const char* name() const noexcept override { return "broadcast_subscription::receive"; }

 private:
  broadcast_seat<T>& seat_;
};

}  // namespace detail

/// One subscriber of a broadcast. Move-only; one task or thread receives from it at a time. When it goes, what has not
/// been read goes with it, and whoever waited for room here goes on. The broadcast must outlive it.
template <class T>
class [[nodiscard]] broadcast_subscription {
 public:
  broadcast_subscription() = default;
  broadcast_subscription(broadcast_subscription&&) noexcept = default;
  broadcast_subscription& operator=(broadcast_subscription&&) noexcept = default;
  ~broadcast_subscription() = default;

  /// Whether it belongs to a broadcast.
  explicit operator bool() const noexcept { return seat_ != nullptr; }

  /// Completes with the next item; with nothing once the broadcast is closed and all that was there has been read.
  /// Throws std::system_error (std::errc::no_buffer_space) once all has been read after a disconnection, each time.
  /// What the item's copy throws is thrown, and the item is still there.
  ///
  /// Cancelled while waiting: stops; nothing was received. When an item had come before, completes with it all the
  /// same. Under a token that is already cancelled it stops. Selectable: when another case is chosen the item stays.
  /// The subscription must live until it has ended. Allocates nothing but what the copy does; O(1), and O(subscribers)
  /// for each sender that it lets go on.
  [[nodiscard]] auto receive() noexcept WEIR_DETAIL_LIFETIMEBOUND {
    return detail::broadcast_receive_operation<T>(seat());
  }

  /// The next item if there is one now. Throws as receive() does.
  std::optional<T> try_receive() { return seat().readable() ? seat().take() : std::nullopt; }

  /// receive() for a thread outside of every runtime, which it blocks. On a worker it throws std::logic_error where it
  /// would have to wait. Cannot be cancelled.
  std::optional<T> receive_blocking() {
    if (!seat().readable()) {
      detail::waiting_thread self(
          "weir: broadcast_subscription::receive_blocking would block a worker of a runtime, and all its tasks: "
          "co_await receive() instead");
      if (seat().enter(self) == detail::admission::queued) self.wait();
    }
    return seat().take();
  }

  /// Items that are there to be read now. A hint where others send meanwhile.
  [[nodiscard]] std::size_t lag() const noexcept { return seat().size(); }
  /// Items that were sent since it subscribed and that it did not get, or no longer has, because it was too slow. What
  /// was sent after its disconnection does not count.
  [[nodiscard]] std::uint64_t missed() const noexcept { return seat().missed(); }
  /// Whether it has been disconnected for being slow. There may still be something to read.
  [[nodiscard]] bool is_disconnected() const noexcept { return seat().disconnected(); }

  /// Subscribes no longer. Idempotent. O(lag).
  void reset() noexcept { seat_.reset(); }

 private:
  friend class broadcast<T>;
  explicit broadcast_subscription(std::unique_ptr<detail::broadcast_seat<T>> seat) noexcept : seat_(std::move(seat)) {}

  detail::broadcast_seat<T>& seat() const noexcept {
    WEIR_DETAIL_ASSERT(seat_, "a subscription is used after it was moved from or reset");
    return *seat_;
  }

  std::unique_ptr<detail::broadcast_seat<T>> seat_;
};

/// Sends each item to all who have subscribed, in the order of sending: to each what is sent from then on.
///
///     weir::broadcast<trade> trades(10);
///     auto mine = trades.subscribe();
///     ... co_await trades.send(t);                                      // never waits for a slow subscriber...
///     ... while (auto t = co_await mine.receive()) look_at(*t);         // ...who misses some, and can ask how many
///
/// Each subscriber has room for so many items that he has not read. What happens when there is none is the
/// broadcast's policy, or his own: see slow_subscriber. By default he does not get the item, and everybody else does.
/// Nothing is lost unseen: missed() and counters() tell.
///
/// With slow_subscriber::wait a send waits until every subscriber of that kind has room. It is all or nothing: until
/// then nobody has the item, afterwards everybody who takes it has it, once. Senders go on first come, first served.
///
/// An item is moved in once, and copied to each subscriber as he receives it, in his own task; the last one gets it
/// moved if that cannot throw. To share large ones, send a std::shared_ptr<const T>. The move constructor of T is
/// called under a short lock and must not use the broadcast; copies and destructors may, but for trivially copyable
/// items of a few words, which are copied there. What a move throws goes to the sender, and nobody has the item; what a
/// copy throws goes to that receiver, who may try again.
///
/// Any task of any runtime may use it, and any thread through the blocking and try_ forms; one that was made on a
/// confined worker belongs to that worker. Sending and receiving allocate nothing once as many items have lain in it as
/// ever do; subscribing allocates. It must outlive the calls on it and its subscriptions, which debug builds tell.
template <class T>
class broadcast {
  static_assert(std::is_object_v<T> && std::is_copy_constructible_v<T>,
                "a broadcast's items are copied to its subscribers: send a std::shared_ptr to what cannot be copied");
  static_assert(alignof(T) <= 16, "over-aligned items do not fit a coroutine frame: send a std::shared_ptr");

 public:
  using value_type = T;

  /// Each subscriber has room for `capacity` items, at least one, unless he asks for another number.
  explicit broadcast(std::size_t capacity, slow_subscriber policy = slow_subscriber::skip)
      : capacity_(capacity), policy_(policy) {
    if (capacity == 0) throw std::invalid_argument("weir::broadcast: subscribers need room for at least one item");
  }
  broadcast(const broadcast&) = delete;
  broadcast& operator=(const broadcast&) = delete;
  ~broadcast() = default;

  /// Gets what is sent from now on; of a closed broadcast, nothing. Throws std::bad_alloc, and std::invalid_argument
  /// for a capacity of 0. O(1).
  broadcast_subscription<T> subscribe() WEIR_DETAIL_LIFETIMEBOUND { return subscribe(policy_, capacity_); }
  broadcast_subscription<T> subscribe(slow_subscriber policy) WEIR_DETAIL_LIFETIMEBOUND {
    return subscribe(policy, capacity_);
  }
  broadcast_subscription<T> subscribe(slow_subscriber policy, std::size_t capacity) WEIR_DETAIL_LIFETIMEBOUND {
    return broadcast_subscription<T>(std::make_unique<detail::broadcast_seat<T>>(core_, policy, capacity));
  }

  /// Completes with true once every subscriber who takes the item has it, also when there is none; with false when the
  /// broadcast is closed, also while it waits. At once, unless a subscriber is waited for. `item` is referred to until
  /// then: it is moved from only if this completes with true.
  ///
  /// Cancelled while waiting: leaves the queue and stops, `item` untouched, and nobody has it; if it had been sent
  /// before, completes with true. Under a token that is already cancelled it stops. Selectable. O(subscribers).
  [[nodiscard]] auto send(T&& item WEIR_DETAIL_LIFETIMEBOUND) noexcept WEIR_DETAIL_LIFETIMEBOUND {
    return detail::channel_send_operation<T, detail::broadcast_core<T>>(core_, item);
  }
  /// The same with a copy, which is made here.
  [[nodiscard]] auto send(const T& item) WEIR_DETAIL_LIFETIMEBOUND {
    return detail::channel_send_copy_operation<T, detail::broadcast_core<T>>(core_, item);
  }

  /// Sends if that takes no waiting. False when a subscriber would have to be waited for, or it is closed; `item` is
  /// untouched then. O(subscribers).
  bool try_send(T&& item) {
    detail::immediate<detail::channel_sender<T>> s(std::addressof(item));
    return core_.try_send(s) && sent(s);
  }
  bool try_send(const T& item) {
    T copied(item);
    return try_send(std::move(copied));
  }

  /// send() for a thread outside of every runtime, which it blocks; it queues among the tasks. On a worker it throws
  /// std::logic_error where it would have to wait. It cannot be cancelled, but closed.
  bool send_blocking(T&& item) {
    detail::immediate<detail::channel_sender<T>> at_once(std::addressof(item));
    if (core_.try_send(at_once)) return sent(at_once);
    detail::basic_waiting_thread<detail::channel_sender<T>> self(
        "weir: broadcast::send_blocking would block a worker of a runtime, and all its tasks: co_await send() instead",
        std::addressof(item));
    if (core_.enter(self) == detail::admission::queued) self.wait();
    return sent(self);
  }
  bool send_blocking(const T& item) {
    T copied(item);
    return send_blocking(std::move(copied));
  }

  /// From now on nothing can be sent: waiting senders complete with false. What subscribers have can still be read;
  /// then their receive() completes with nothing. Idempotent; any thread. O(waiters and subscribers).
  void close() noexcept { core_.close(); }
  [[nodiscard]] bool is_closed() const noexcept { return core_.closed(); }

  /// So far. O(1).
  [[nodiscard]] broadcast_counters counters() const noexcept { return core_.counters(); }

 private:
  static bool sent(const detail::channel_sender<T>& s) {
    if (s.error) std::rethrow_exception(s.error);
    return s.ended_as == detail::channel_sender<T>::outcome::sent;
  }

  mutable detail::broadcast_core<T> core_;
  const std::size_t capacity_;
  const slow_subscriber policy_;
};

}  // namespace weir
