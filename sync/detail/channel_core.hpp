#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "../../runtime/detail/config.hpp"
#include "domain_lock.hpp"
#include "item_queue.hpp"
#include "waiter.hpp"

namespace weir::detail {

/// In place of an exception where there can be none.
struct no_exception {};

[[noreturn, gnu::noinline]] inline void rethrow_this(const std::exception_ptr& error) { std::rethrow_exception(error); }
/// The throwing is out of line, so that what hands out a value can be inlined.
inline void rethrow_if_any(const std::exception_ptr& error) {
  if (error) rethrow_this(error);
}
inline void rethrow_if_any(no_exception) noexcept {}

/// Somebody with an item for a channel, or (without an item) somebody who asks for room.
template <class T>
class channel_sender : public waiter {
 public:
  enum class outcome : std::uint8_t { none, sent, closed, failed, no_room_ever };

  channel_sender() = default;
  explicit channel_sender(T* value) noexcept : item(value) {}

  T* item = nullptr;  // stays where it is until it is moved from, under the channel's lock
  outcome ended_as = outcome::none;
  std::exception_ptr error;  // with `failed`: what moving the item threw

 protected:
  channel_sender(const channel_sender&) = default;
  ~channel_sender() = default;
};

/// Somebody who waits for an item.
template <class T>
class channel_receiver : public waiter {
 public:
  enum class outcome : std::uint8_t { none, received, ended, failed };

  channel_receiver() = default;

  static constexpr bool may_fail = !std::is_nothrow_move_constructible_v<T>;

  std::optional<T> item;
  outcome ended_as = outcome::none;
  // A select holds one of these for each case. Where it cannot fail there is nothing to destroy.
  [[no_unique_address]] std::conditional_t<may_fail, std::exception_ptr, no_exception> error;

 protected:
  channel_receiver(const channel_receiver& other) noexcept : waiter(other) {}  // only before it waits
  ~channel_receiver() = default;
};

/// One that does not wait.
template <class Side>
class immediate final : public Side {
 public:
  using Side::Side;
  immediate() = default;
  ~immediate() = default;

 private:
  void wake() noexcept override {}
};

/// A channel without its face: items, who waits at either end, and the rules. What follows from them, with the lock
/// free: while a sender waits there is no room; while a receiver waits no item lies here; somebody with an item and a
/// receiver never wait at once. (All of that but for dead cases of selects.)
///
/// Items are moved under the lock. When the move of a sender's item throws, that sender fails; when the move out of the
/// buffer throws, that receiver fails and the item stays. Everybody else goes on.
template <class T>
class channel_core {
 public:
  using sender_outcome = typename channel_sender<T>::outcome;
  using receiver_outcome = typename channel_receiver<T>::outcome;
  static constexpr std::size_t unlimited = item_queue<T>::unlimited;
  static constexpr const char* send_name = "channel::send";

  explicit channel_core(std::size_t capacity) : capacity_(capacity), items_(capacity) {}
  channel_core(const channel_core&) = delete;
  channel_core& operator=(const channel_core&) = delete;
  ~channel_core() {
    WEIR_DETAIL_ASSERT(senders_.empty() && receivers_.empty(), "a channel was destroyed while somebody waits at it");
    WEIR_DETAIL_ASSERT(reserved_ == 0, "a channel was destroyed before a permit that it had given");
  }

  /// True when it is done with, one way or another. `here` as for domain::check().
  bool try_send(channel_sender<T>& s, const void* here = confined_domain()) noexcept {
    lock_.lock(here);
    if (closed_ || !s.item) return try_send_locked(s);
    if constexpr (std::is_nothrow_move_constructible_v<T>) {
      if (waiter* first = receivers_.take_first()) {
        hand_over(s, *first);
        lock_.unlock();
        first->wake_next();
        return true;
      }
    } else if (!receivers_.empty()) {
      return try_send_locked(s);
    }
    const bool room = has_room();
    if (room) store(s);
    lock_.unlock();
    return room;
  }
  bool try_receive(channel_receiver<T>& r, const void* here = confined_domain()) noexcept {
    lock_.lock(here);
    if (!senders_.empty() || closed_) return try_receive_locked(r);
    const bool filled = !items_.empty();
    if (filled) take_front(r);
    lock_.unlock();
    return filled;
  }

  admission enter(channel_sender<T>& s, const void* here = confined_domain()) noexcept {
    return enter(s, senders_, here, [this, &s](woken_list& woken) { return !is_full() && offer(s, woken); });
  }
  admission enter(channel_receiver<T>& r, const void* here = confined_domain()) noexcept {
    return enter(r, receivers_, here, [this, &r](woken_list& woken) { return !is_vacant() && accept(r, woken); });
  }

  // As cases of a select.
  bool arm(channel_sender<T>& s, case_link link) noexcept {
    s.in_select = link;
    lock_.lock();
    const bool waits = !closed_ && !has_room() && (!s.item ? capacity_ != 0 : !receivers_.has_live(link.in));
    if (waits) senders_.push(s);
    lock_.unlock();
    return waits;
  }
  bool arm(channel_receiver<T>& r, case_link link) noexcept {
    r.in_select = link;
    lock_.lock();
    const bool waits = items_.empty() && !at_end() && !senders_.has_live(link.in, &has_item);
    if (waits) receivers_.push(r);
    lock_.unlock();
    return waits;
  }
  void withdraw_sender(waiter& w) noexcept { take_out(senders_, w); }
  void withdraw_receiver(waiter& w) noexcept { take_out(receivers_, w); }

  // Of a permit that was granted.
  bool send_reserved(T& item) {
    woken_list woken;
    lock_.lock();
    if (cleared_) {
      --reserved_;
      lock_.unlock();
      return false;
    }
    --reserved_;
    immediate<channel_sender<T>> s(std::addressof(item));
    place(s, woken);
    if (s.ended_as == sender_outcome::failed) ++reserved_;
    after_reservation(woken);
    lock_.unlock();
    wake(woken);
    rethrow_if_any(s.error);
    return true;
  }
  void drop_reserved() noexcept {
    woken_list woken;
    lock_.lock();
    --reserved_;
    after_reservation(woken);
    lock_.unlock();
    wake(woken);
  }

  void close() noexcept {
    woken_list woken;
    lock_.lock();
    close_locked(woken);
    lock_.unlock();
    wake(woken);
  }
  void close_and_clear() noexcept {
    woken_list woken;
    lock_.lock();
    cleared_ = true;
    item_queue<T> doomed(std::move(items_));  // destroyed without the lock
    close_locked(woken);
    lock_.unlock();
    wake(woken);
  }

  [[nodiscard]] bool closed() noexcept {
    lock_.lock();
    const bool result = closed_;
    lock_.unlock();
    return result;
  }
  [[nodiscard]] std::size_t size() noexcept {
    lock_.lock();
    const std::size_t result = items_.size();
    lock_.unlock();
    return result;
  }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }

  domain_lock& lock() noexcept { return lock_; }
  waiter_queue& senders() noexcept { return senders_; }
  waiter_queue& receivers() noexcept { return receivers_; }

 private:
  using woken_list = intrusive_list<waiter>;

  static void wake(woken_list& woken) noexcept {
    while (!woken.empty()) woken.pop_front().wake_next();
  }

  template <class Waiter, class Try>
  admission enter(Waiter& w, waiter_queue& queue, const void* here, Try attempt) noexcept {
    woken_list woken;
    lock_.lock(here);
    const admission answer = queue.admit(w, [&] { return attempt(woken); });
    lock_.unlock();
    wake(woken);
    return answer;
  }

  void take_out(waiter_queue& queue, waiter& w) noexcept {
    lock_.lock();
    queue.take_out(w);
    lock_.unlock();
  }

  static bool has_item(const waiter& w) noexcept { return static_cast<const channel_sender<T>&>(w).item != nullptr; }

  // With the lock held, which they give back: where somebody waits, or is to be told more than yes or no. Out of line,
  // so that an item that goes through the buffer pays for none of it.
  [[gnu::noinline]] bool try_send_locked(channel_sender<T>& s) noexcept {
    woken_list woken;
    const bool done = offer(s, woken);
    lock_.unlock();
    wake(woken);
    return done;
  }
  [[gnu::noinline]] bool try_receive_locked(channel_receiver<T>& r) noexcept {
    woken_list woken;
    const bool done = accept(r, woken);
    lock_.unlock();
    wake(woken);
    return done;
  }

  // Everything below is called with the lock held.

  // What is unlimited has more room than there can be items.
  [[nodiscard]] bool has_room() const noexcept { return items_.size() + reserved_ < capacity_; }
  /// There is nothing that a receiver could get or be told.
  [[nodiscard]] bool is_vacant() const noexcept { return items_.empty() && senders_.empty() && !closed_; }
  /// The same for a sender. (At a rendezvous a sender without an item is told that there will be no room.)
  [[nodiscard]] bool is_full() const noexcept {
    return capacity_ != 0 && !has_room() && receivers_.empty() && !closed_;
  }
  [[nodiscard]] bool at_end() const noexcept { return closed_ && items_.empty() && (reserved_ == 0 || cleared_); }

  /// False when it has to wait.
  bool offer(channel_sender<T>& s, woken_list& woken) noexcept {
    if (closed_) {
      s.ended_as = sender_outcome::closed;
      return true;
    }
    if (!s.item) {
      if (!has_room()) {
        if (capacity_ != 0) return false;
        s.ended_as = sender_outcome::no_room_ever;
        return true;
      }
      ++reserved_;
      s.ended_as = sender_outcome::sent;
      return true;
    }
    return place(s, woken);
  }

  /// To a receiver that waits, or into the buffer. False when there is neither.
  bool place(channel_sender<T>& s, woken_list& woken) noexcept {
    if constexpr (std::is_nothrow_move_constructible_v<T>) {
      if (waiter* first = receivers_.take_first()) {
        hand_over(s, *first);
        woken.push_back(*first);
        return true;
      }
    } else if (waiter* first = receivers_.hold_first()) {
      try {
        hand_over(s, *first);
      } catch (...) {
        fail(s);
        waiter_queue::put_back(*first);
        return true;
      }
      receivers_.take_held(*first);
      woken.push_back(*first);
      return true;
    }
    if (!has_room()) return false;
    store(s);
    return true;
  }

  /// Into the buffer, which has room.
  [[gnu::always_inline]] void store(channel_sender<T>& s) noexcept {
    try {
      items_.push_back(std::move(*s.item));
      s.ended_as = sender_outcome::sent;
    } catch (...) {
      fail(s);
    }
  }
  /// Out of the buffer, which is not empty. False: the item stays, the receiver has failed.
  bool take_front(channel_receiver<T>& r) noexcept {
    if constexpr (!channel_receiver<T>::may_fail) {
      r.item.emplace(std::move(items_.front()));
    } else {
      try {
        r.item.emplace(std::move(items_.front()));
      } catch (...) {
        r.error = std::current_exception();
        r.ended_as = receiver_outcome::failed;
        return false;
      }
    }
    items_.pop_seen();
    r.ended_as = receiver_outcome::received;
    return true;
  }

  /// What the move of the item throws changes nothing.
  static void hand_over(channel_sender<T>& s, waiter& to) noexcept(std::is_nothrow_move_constructible_v<T>) {
    auto& r = static_cast<channel_receiver<T>&>(to);
    r.item.emplace(std::move(*s.item));
    r.ended_as = receiver_outcome::received;
    s.ended_as = sender_outcome::sent;
  }
  static void fail(channel_sender<T>& s) noexcept {
    s.error = std::current_exception();
    s.ended_as = sender_outcome::failed;
  }

  /// False when it has to wait.
  bool accept(channel_receiver<T>& r, woken_list& woken) noexcept {
    if (!items_.empty()) {
      if (take_front(r) && !senders_.empty()) admit_senders(woken);
      return true;
    }
    // At a rendezvous, and while all room is reserved, the items are still with those who wait. Who waits for room
    // alone is passed over: he does not need what is given here.
    while (waiter* first = senders_.empty() ? nullptr : senders_.take_first(&has_item)) {
      auto& s = static_cast<channel_sender<T>&>(*first);
      woken.push_back(s);
      try {
        r.item.emplace(std::move(*s.item));
      } catch (...) {
        fail(s);
        continue;
      }
      s.ended_as = sender_outcome::sent;
      r.ended_as = receiver_outcome::received;
      return true;
    }
    if (!at_end()) return false;
    r.ended_as = receiver_outcome::ended;
    return true;
  }

  /// Room has come up.
  void admit_senders(woken_list& woken) noexcept {
    while (has_room()) {
      waiter* first = senders_.take_first();
      if (!first) return;
      auto& s = static_cast<channel_sender<T>&>(*first);
      offer(s, woken);
      woken.push_back(s);
    }
  }

  void after_reservation(woken_list& woken) noexcept {
    if (!closed_) {
      admit_senders(woken);
    } else if (at_end()) {
      end_receivers(woken);
    }
  }

  void close_locked(woken_list& woken) noexcept {
    if (!std::exchange(closed_, true)) {
      while (waiter* first = senders_.take_first()) {
        auto& s = static_cast<channel_sender<T>&>(*first);
        s.ended_as = sender_outcome::closed;
        woken.push_back(s);
      }
    }
    if (at_end()) end_receivers(woken);
  }
  void end_receivers(woken_list& woken) noexcept {
    while (waiter* first = receivers_.take_first()) {
      auto& r = static_cast<channel_receiver<T>&>(*first);
      r.ended_as = receiver_outcome::ended;
      woken.push_back(r);
    }
  }

  domain_lock lock_;
  bool closed_ = false;
  bool cleared_ = false;  // closed, and what is sent with a permit is refused as well
  const std::size_t capacity_;
  std::size_t reserved_ = 0;  // permits that were given and not used
  item_queue<T> items_;
  waiter_queue senders_;
  waiter_queue receivers_;
};

}  // namespace weir::detail
