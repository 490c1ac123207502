#pragma once

#include <cstddef>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <type_traits>
#include <utility>

#include "../runtime/detail/config.hpp"
#include "../runtime/detail/take.hpp"
#include "detail/channel_core.hpp"
#include "detail/channel_operations.hpp"
#include "detail/waiting_thread.hpp"

namespace weir {

/// For channels without a bound: `channel<int> all(unbounded)`. Nothing slows its senders down, so something else must.
struct unbounded_t {
  explicit unbounded_t() = default;
};
inline constexpr unbounded_t unbounded{};

/// Room for one item in a channel: what reserve() completes with. Move-only; dropped unused it gives the room back.
/// False (and of no use) when the channel was closed. It must not outlive the channel.
template <class T>
class [[nodiscard]] send_permit {
 public:
  send_permit() = default;
  send_permit(send_permit&& other) noexcept : core_(detail::take(other.core_)) {}
  send_permit& operator=(send_permit&& other) noexcept {
    send_permit taken(std::move(other));
    detail::trade(core_, taken.core_);
    return *this;
  }
  ~send_permit() {
    if (core_) core_->drop_reserved();
  }

  explicit operator bool() const noexcept { return core_ != nullptr; }

  /// Sends without waiting, also when the channel was closed since. False, with `item` untouched, only when nobody can
  /// receive any more: the channel was cleared, or its last receiver has gone. What moving the item throws is thrown
  /// here, and the permit is kept; otherwise it is used up. O(1).
  bool send(T&& item) {
    WEIR_DETAIL_ASSERT(core_, "send() with a permit that was used or never granted");
    const bool sent = core_->send_reserved(item);
    core_ = nullptr;
    return sent;
  }
  bool send(const T& item)
    requires std::copy_constructible<T>
  {
    T copied(item);
    return send(std::move(copied));
  }

 private:
  friend class detail::channel_reserve_operation<T>;
  explicit send_permit(detail::channel_core<T>& core) noexcept : core_(&core) {}

  detail::channel_core<T>* core_ = nullptr;
};

/// Hands over items, first come, first served, from any number of senders to any number of receivers.
///
///     weir::channel<int> numbers(16);
///     ... co_await numbers.send(42);                                    // waits while 16 items lie there
///     ... while (auto n = co_await numbers.receive()) sum += *n;        // ends once it is closed and empty
///
/// With capacity 0 it is a rendezvous: send() completes when a receiver has the item. With capacity N up to N items lie
/// in it. `unbounded` has to be asked for by name. An item goes to the receiver that has waited longest, directly and
/// without passing through the buffer; what one sender sends arrives in its order.
///
/// Nothing is lost: an item is moved when, and only when, its send commits. A send that was cancelled, refused because
/// the channel is closed, or not chosen by select has not touched its argument. A receive that was cancelled has taken
/// nothing.
///
/// Any task of any runtime may use it, and any thread through the blocking and try_ forms; one that was made on a
/// confined worker belongs to that worker. Items are moved under a short lock: the move constructor of T, and the
/// destructor of an item that was moved from, must not use the channel. What a move throws goes to the task whose item
/// it is, or who takes it; the item stays where its type left it, and the channel goes on. Operations allocate nothing
/// (an unbounded channel allocates blocks as it grows) and are O(1), but for a receive while all room is reserved and
/// others wait for some.
///
/// It must outlive its operations and permits (told in debug builds). For ends that close it by going away, see
/// make_channel().
template <class T>
class channel {
  static_assert(std::is_object_v<T> && std::is_move_constructible_v<T>, "a channel's items must be movable objects");
  static_assert(alignof(T) <= 16, "over-aligned items do not fit a coroutine frame: send a std::unique_ptr");

 public:
  using value_type = T;

  /// Allocates room for `capacity` items. Throws std::bad_alloc.
  explicit channel(std::size_t capacity) : core_(capacity) {
    if (capacity == detail::channel_core<T>::unlimited) throw std::invalid_argument("weir::channel: use `unbounded`");
  }
  explicit channel(unbounded_t) : core_(detail::channel_core<T>::unlimited) {}
  channel(const channel&) = delete;
  channel& operator=(const channel&) = delete;
  ~channel() = default;

  /// Completes with true once the channel, or a receiver, has the item; with false when the channel is closed, also
  /// while it waits. `item` is referred to until then: it is moved from if, and only if, this completes with true.
  ///
  /// Cancelled while waiting: leaves the queue and stops, `item` untouched; if the item had been taken before,
  /// completes with true. Selectable.
  [[nodiscard]] auto send(T&& item WEIR_DETAIL_LIFETIMEBOUND) noexcept WEIR_DETAIL_LIFETIMEBOUND {
    return detail::channel_send_operation<T>(core_, item);
  }
  /// The same with a copy, which is made here.
  [[nodiscard]] auto send(const T& item) WEIR_DETAIL_LIFETIMEBOUND
    requires std::copy_constructible<T>
  {
    return detail::channel_send_copy_operation<T>(core_, item);
  }

  /// Completes with an item, or with nothing once the channel is closed and all items, those of permits included, have
  /// been received.
  ///
  /// Cancelled while waiting: leaves the queue and stops; if an item had been handed to it before, completes with that.
  /// Selectable.
  [[nodiscard]] auto receive() noexcept WEIR_DETAIL_LIFETIMEBOUND {
    return detail::channel_receive_operation<T>(core_);
  }

  /// Completes with a permit once there is room, which is then kept for it: first the room, later the value. The permit
  /// is false when the channel is closed. Waits in one queue with the senders. On a rendezvous channel, which has no
  /// room, it throws std::system_error (invalid_argument). Cancelled: as send(). Selectable.
  [[nodiscard]] auto reserve() noexcept WEIR_DETAIL_LIFETIMEBOUND {
    return detail::channel_reserve_operation<T>(core_);
  }

  /// Sends if that takes no waiting. False when there is neither room nor a receiver, or the channel is closed; `item`
  /// is untouched then. O(1).
  bool try_send(T&& item);
  bool try_send(const T& item)
    requires std::copy_constructible<T>
  {
    T copied(item);
    return try_send(std::move(copied));
  }

  /// An item if one can be had without waiting. O(1).
  std::optional<T> try_receive();

  /// send() and receive() for a thread outside of every runtime, which they block; it queues among the tasks. On a
  /// worker they throw std::logic_error where they would have to wait. They cannot be cancelled, but closed.
  bool send_blocking(T&& item);
  bool send_blocking(const T& item)
    requires std::copy_constructible<T>
  {
    T copied(item);
    return send_blocking(std::move(copied));
  }
  std::optional<T> receive_blocking();

  /// From now on nothing can be sent, except with permits that were given before: waiting senders complete with false.
  /// What lies in the channel can still be received. Idempotent; any thread. O(waiters).
  void close() noexcept { core_.close(); }
  /// The same, and destroys what lies in it: receivers find the end at once, and permits are refused.
  void close_and_clear() noexcept { core_.close_and_clear(); }
  [[nodiscard]] bool is_closed() const noexcept { return core_.closed(); }

  /// Items that lie in it now. A hint where others send or receive meanwhile.
  [[nodiscard]] std::size_t size() const noexcept { return core_.size(); }
  [[nodiscard]] bool empty() const noexcept { return size() == 0; }
  /// The greatest number that can lie in it: 0 for a rendezvous, the greatest std::size_t without a bound.
  [[nodiscard]] std::size_t capacity() const noexcept { return core_.capacity(); }

 private:
  static bool sent(const detail::channel_sender<T>& s) {
    detail::rethrow_if_any(s.error);
    return s.ended_as == detail::channel_sender<T>::outcome::sent;
  }
  static std::optional<T> received(detail::channel_receiver<T>& r) {
    detail::rethrow_if_any(r.error);
    return std::move(r.item);
  }

  mutable detail::channel_core<T> core_;
};

template <class T>
bool channel<T>::try_send(T&& item) {
  detail::immediate<detail::channel_sender<T>> s(std::addressof(item));
  return core_.try_send(s) && sent(s);
}

template <class T>
std::optional<T> channel<T>::try_receive() {
  detail::immediate<detail::channel_receiver<T>> r;
  return core_.try_receive(r) ? received(r) : std::nullopt;
}

template <class T>
bool channel<T>::send_blocking(T&& item) {
  detail::immediate<detail::channel_sender<T>> at_once(std::addressof(item));
  if (core_.try_send(at_once)) return sent(at_once);
  detail::basic_waiting_thread<detail::channel_sender<T>> self(
      "weir: channel::send_blocking would block a worker of a runtime, and all its tasks: co_await send() instead");
  self.item = std::addressof(item);
  if (core_.enter(self) == detail::admission::queued) self.wait();
  return sent(self);
}

template <class T>
std::optional<T> channel<T>::receive_blocking() {
  detail::immediate<detail::channel_receiver<T>> at_once;
  if (core_.try_receive(at_once)) return received(at_once);
  detail::basic_waiting_thread<detail::channel_receiver<T>> self(
      "weir: channel::receive_blocking would block a worker of a runtime, and all its tasks: co_await receive() "
      "instead");
  if (core_.enter(self) == detail::admission::queued) self.wait();
  return received(self);
}

namespace detail {

template <class T>
send_permit<T> channel_reserve_operation<T>::value() {
  using ended = typename channel_sender<T>::outcome;
  if (this->ended_as == ended::no_room_ever) {
    throw std::system_error(std::make_error_code(std::errc::invalid_argument),
                            "reserve: a rendezvous channel has no room to give");
  }
  return this->ended_as == ended::sent ? send_permit<T>(this->core_) : send_permit<T>();
}

}  // namespace detail
}  // namespace weir
