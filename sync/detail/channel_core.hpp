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

  std::optional<T> item;
  outcome ended_as = outcome::none;
  std::exception_ptr error;

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

  /// True when it is done with, one way or another.
  bool try_send(channel_sender<T>& s) noexcept {
    woken_list woken;
    lock_.lock();
    const bool done = offer(s, woken);
    lock_.unlock();
    wake(woken);
    return done;
  }
  bool try_receive(channel_receiver<T>& r) noexcept {
    woken_list woken;
    lock_.lock();
    const bool done = accept(r, woken);
    lock_.unlock();
    wake(woken);
    return done;
  }

  admission enter(channel_sender<T>& s) noexcept {
    return enter(s, senders_, [this, &s](woken_list& woken) { return offer(s, woken); });
  }
  admission enter(channel_receiver<T>& r) noexcept {
    return enter(r, receivers_, [this, &r](woken_list& woken) { return accept(r, woken); });
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
    if (s.error) std::rethrow_exception(s.error);
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
  admission enter(Waiter& w, waiter_queue& queue, Try attempt) noexcept {
    woken_list woken;
    lock_.lock();
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

  // Everything below is called with the lock held.

  [[nodiscard]] bool has_room() const noexcept {
    return capacity_ == unlimited || items_.size() + reserved_ < capacity_;
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
        auto& r = static_cast<channel_receiver<T>&>(*first);
        r.item.emplace(std::move(*s.item));
        hand_over(s, r, woken);
        return true;
      }
    } else if (waiter* first = receivers_.hold_first()) {
      auto& r = static_cast<channel_receiver<T>&>(*first);
      try {
        r.item.emplace(std::move(*s.item));
      } catch (...) {
        fail(s);
        waiter_queue::put_back(r);
        return true;
      }
      receivers_.take_held(r);
      hand_over(s, r, woken);
      return true;
    }
    if (!has_room()) return false;
    try {
      items_.push_back(std::move(*s.item));
      s.ended_as = sender_outcome::sent;
    } catch (...) {
      fail(s);
    }
    return true;
  }

  static void hand_over(channel_sender<T>& s, channel_receiver<T>& r, woken_list& woken) noexcept {
    r.ended_as = receiver_outcome::received;
    s.ended_as = sender_outcome::sent;
    woken.push_back(r);
  }
  static void fail(channel_sender<T>& s) noexcept {
    s.error = std::current_exception();
    s.ended_as = sender_outcome::failed;
  }

  /// False when it has to wait.
  bool accept(channel_receiver<T>& r, woken_list& woken) noexcept {
    if (!items_.empty()) {
      try {
        r.item.emplace(std::move(items_.front()));
      } catch (...) {
        r.error = std::current_exception();
        r.ended_as = receiver_outcome::failed;
        return true;
      }
      items_.pop_front();
      r.ended_as = receiver_outcome::received;
      if (!senders_.empty()) admit_senders(woken);
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
