#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <type_traits>
#include <utility>

#include "../../runtime/detail/config.hpp"
#include "../../runtime/detail/intrusive_list.hpp"
#include "../../runtime/detail/take.hpp"
#include "channel_core.hpp"
#include "domain_lock.hpp"
#include "object_wait.hpp"
#include "waiter.hpp"

// A broadcast without its face. An item lies in one cell, however many have still to read it; what each subscriber has
// of his own is a seat with a ring of pointers to cells. So a send makes one item and writes one pointer for each
// subscriber, a subscriber costs memory for pointers and not for items, and it does not matter how far apart
// subscribers are, nor which items one of them skips (which a ring shared by all, with a position for each, could not
// hold). With a thousand subscribers the pointers are a small part of what waking them costs.
//
// One lock guards all of it but the items. They are read, copied and destroyed without the lock: a cell lives until its
// last reader has let go of it.

namespace weir {

/// What becomes of an item for a subscriber who has no room for it.
enum class slow_subscriber : std::uint8_t {
  skip,         ///< he does not get it
  drop_oldest,  ///< he gets it, and loses what has waited longest for him
  wait,         ///< everybody waits: it is sent when he has room
  disconnect,   ///< he gets nothing more; once he has read what he has he is told by an error
};

/// What a broadcast has done so far. For each subscription `received` and what lies there, with `dropped`, make up what
/// was sent while it was there.
struct broadcast_counters {
  std::uint64_t sent = 0;       ///< items, however many subscribers there were
  std::uint64_t received = 0;   ///< by all subscribers together
  std::uint64_t dropped = 0;    ///< for slow subscribers: skipped, dropped or the reason of a disconnection
  std::size_t subscribers = 0;  ///< now, without those that were disconnected
};

namespace detail {

template <class T>
class broadcast_seat;

/// One item, and how many seats it lies in.
template <class T>
struct broadcast_cell {
  broadcast_cell* next = nullptr;  // among those that are free, or about to be
  std::size_t readers = 0;         // under the lock
  alignas(T) std::byte storage[sizeof(T)];

  T& item() noexcept { return *std::launder(reinterpret_cast<T*>(storage)); }
};

template <class T>
class broadcast_core {
 public:
  using cell = broadcast_cell<T>;
  using seat = broadcast_seat<T>;
  using outcome = typename channel_sender<T>::outcome;
  static constexpr const char* send_name = "broadcast::send";

  broadcast_core() = default;
  broadcast_core(const broadcast_core&) = delete;
  broadcast_core& operator=(const broadcast_core&) = delete;
  ~broadcast_core() {
    WEIR_DETAIL_ASSERT(senders_.empty(), "a broadcast was destroyed while somebody waits to send to it");
    WEIR_DETAIL_ASSERT(seats_.empty(), "a broadcast was destroyed before a subscription to it");
    while (free_) delete std::exchange(free_, free_->next);
  }

  // Sending, as to a channel_core.

  bool try_send(channel_sender<T>& s, const void* /*here*/ = nullptr) noexcept {
    section inside(*this);
    return offer(s, inside);
  }
  admission enter(channel_sender<T>& s, const void* /*here*/ = nullptr) noexcept {
    section inside(*this);
    return senders_.admit(s, [&] { return offer(s, inside); });
  }
  bool arm(channel_sender<T>& s, case_link link) noexcept {
    s.in_select = link;
    const std::lock_guard guard(lock_);
    const bool waits = !closed_ && full_ != 0;
    if (waits) senders_.push(s);
    return waits;
  }
  void withdraw_sender(waiter& w) noexcept {
    const std::lock_guard guard(lock_);
    senders_.take_out(w);
  }
  domain_lock& lock() noexcept { return lock_; }
  waiter_queue& senders() noexcept { return senders_; }

  void close() noexcept {
    section inside(*this);
    if (std::exchange(closed_, true)) return;
    while (waiter* const first = senders_.take_first()) {
      static_cast<channel_sender<T>&>(*first).ended_as = outcome::closed;
      inside.woken().push_back(*first);
    }
    for (seat* s = seats_.first(); s; s = seats_.after(*s)) s->end(inside);
  }
  [[nodiscard]] bool closed() noexcept {
    const std::lock_guard guard(lock_);
    return closed_;
  }
  [[nodiscard]] broadcast_counters counters() noexcept {
    const std::lock_guard guard(lock_);
    return counters_;
  }

 private:
  friend seat;

  /// Items that nobody reads any more: destroyed, and their cells kept for the next ones, without the lock.
  class unread_items {
   public:
    explicit unread_items(broadcast_core& core) noexcept : core_(core) {}
    unread_items(const unread_items&) = delete;
    unread_items& operator=(const unread_items&) = delete;
    ~unread_items() {
      if (!first_) return;
      for (cell* c = first_; c; c = c->next) std::destroy_at(&c->item());
      const std::lock_guard guard(core_.lock_);
      while (first_) {
        cell* const done = std::exchange(first_, first_->next);
        core_.keep(*done);
      }
    }
    void push(cell& c) noexcept {
      c.next = first_;
      first_ = &c;
    }

   private:
    broadcast_core& core_;
    cell* first_ = nullptr;
  };

  /// The lock, held. Then, without it, those who were claimed are woken, and items are destroyed.
  class section {
   public:
    explicit section(broadcast_core& core) noexcept : unread_(core), inside_(core.lock_) {}
    intrusive_list<waiter>& woken() noexcept { return inside_.woken; }
    unread_items& unread() noexcept { return unread_; }

   private:
    unread_items unread_;
    locked_section inside_;
  };

  // Everything below is called with the lock held.

  /// False when it has to wait. While somebody waits here, some seat that is waited for is full.
  bool offer(channel_sender<T>& s, section& inside) noexcept {
    if (closed_) {
      s.ended_as = outcome::closed;
      return true;
    }
    if (full_ != 0) return false;
    try {
      spread(*s.item, inside);
      s.ended_as = outcome::sent;
    } catch (...) {
      s.error = std::current_exception();
      s.ended_as = outcome::failed;
    }
    return true;
  }

  void spread(T& item, section& inside) {
    if (!seats_.empty()) {
      cell& made = make_cell(item);
      seat* next = nullptr;
      for (seat* s = seats_.first(); s; s = next) {
        next = seats_.after(*s);
        s->put(made, inside);
      }
      if (made.readers == 0) discard(made, inside);
    }
    ++counters_.sent;
  }

  cell& make_cell(T& item) {
    if (!free_) keep(*new cell);
    std::construct_at(reinterpret_cast<T*>(free_->storage), std::move(item));
    return *std::exchange(free_, free_->next);
  }
  void keep(cell& empty) noexcept {
    empty.next = free_;
    free_ = &empty;
  }
  void discard(cell& c, section& inside) noexcept {
    if constexpr (std::is_trivially_destructible_v<T>) {
      keep(c);
    } else {
      inside.unread().push(c);
    }
  }
  void let_go(cell& c, section& inside) noexcept {
    if (--c.readers == 0) discard(c, inside);
  }

  /// A seat that was waited for is full no more.
  void one_less_full(section& inside) noexcept {
    --full_;
    while (full_ == 0) {
      waiter* const first = senders_.take_first();
      if (!first) return;
      offer(static_cast<channel_sender<T>&>(*first), inside);
      inside.woken().push_back(*first);
    }
  }

  domain_lock lock_;
  bool closed_ = false;
  std::size_t full_ = 0;         // seats with slow_subscriber::wait that have no room
  intrusive_list<seat> seats_;   // in the order in which they came
  cell* free_ = nullptr;         // as many as were ever used at once
  broadcast_counters counters_;  // of all who are there, or were
  waiter_queue senders_;
};

/// A subscriber's place: what he has still to read. One task or thread at a time receives here.
template <class T>
class broadcast_seat : public list_hook {
  using core = broadcast_core<T>;
  using cell = broadcast_cell<T>;
  using section = typename core::section;

 public:
  broadcast_seat(core& of, slow_subscriber policy, std::size_t capacity)
      : core_(of), capacity_(checked(capacity)), ring_(std::make_unique<cell*[]>(capacity)), policy_(policy) {
    const std::lock_guard guard(core_.lock_);
    core_.seats_.push_back(*this);
    ++core_.counters_.subscribers;
    ended_.store(core_.closed_, std::memory_order_relaxed);
  }
  broadcast_seat(const broadcast_seat&) = delete;
  broadcast_seat& operator=(const broadcast_seat&) = delete;
  ~broadcast_seat() {
    section inside(core_);
    WEIR_DETAIL_ASSERT(receiving_.empty() && !reading_, "a subscription was destroyed while somebody receives from it");
    if (!disconnected_) {
      list_hook::unlink();
      --core_.counters_.subscribers;
    }
    const bool was_waited_for = is_waited_for();
    while (size() != 0) core_.let_go(pop_front(), inside);
    if (was_waited_for) core_.one_less_full(inside);
  }

  // The object of a receive. What is there stays until take(), so that a receive that was let through and then does not
  // come has taken nothing.

  /// Needs no lock: only take() makes it false again, and that is called by whoever calls this.
  bool try_enter(const waiter&) noexcept { return readable(); }
  admission enter(waiter& w) noexcept {
    const std::lock_guard guard(core_.lock_);
    WEIR_DETAIL_ASSERT(receiving_.empty(), "two receive from one subscription at once");
    return receiving_.admit(w, [this] { return readable(); });
  }
  bool withdraw(waiter& w) noexcept {
    const std::lock_guard guard(core_.lock_);
    return receiving_.withdraw(w);
  }
  bool arm(waiter& w, case_link link) noexcept {
    w.in_select = link;
    const std::lock_guard guard(core_.lock_);
    const bool waits = !readable();
    if (waits) receiving_.push(w);
    return waits;
  }
  void take_out(waiter& w) noexcept {
    const std::lock_guard guard(core_.lock_);
    receiving_.take_out(w);
  }

  /// Once it is readable.
  std::optional<T> take() {
    if constexpr (is_quick) {
      section inside(core_);
      if (cell* const front = front_or_end()) {
        std::optional<T> taken(front->item());
        finish(*front, true, inside);
        return taken;
      }
      return std::nullopt;
    } else {
      cell* front = nullptr;
      bool alone = false;
      {
        const std::lock_guard guard(core_.lock_);
        front = front_or_end();
        if (!front) return std::nullopt;
        alone = front->readers == 1;
        reading_ = true;
      }
      std::optional<T> taken;
      try {
        // A cell that no other seat has gets no further readers.
        alone ? taken.emplace(std::move_if_noexcept(front->item())) : taken.emplace(std::as_const(front->item()));
      } catch (...) {
        section inside(core_);
        finish(*front, false, inside);
        throw;
      }
      section inside(core_);
      finish(*front, true, inside);
      return taken;
    }
  }
  [[nodiscard]] bool readable() const noexcept { return size() != 0 || ended_.load(std::memory_order_acquire); }
  [[nodiscard]] std::size_t size() const noexcept { return size_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t missed() noexcept {
    const std::lock_guard guard(core_.lock_);
    return missed_;
  }
  [[nodiscard]] bool disconnected() noexcept {
    const std::lock_guard guard(core_.lock_);
    return disconnected_;
  }

 private:
  friend core;

  // What is copied under the lock, because that takes no longer than taking the lock again.
  static constexpr bool is_quick = std::is_trivially_copyable_v<T> && sizeof(T) <= 64;

  static std::size_t checked(std::size_t capacity) {
    if (capacity == 0) throw std::invalid_argument("weir::broadcast: a subscriber needs room for at least one item");
    return capacity;
  }

  // Everything below is called with the lock held.

  [[nodiscard]] bool is_full() const noexcept { return size() == capacity_; }
  [[nodiscard]] bool is_waited_for() const noexcept { return policy_ == slow_subscriber::wait && is_full(); }
  void set_size(std::size_t n) noexcept { size_.store(n, std::memory_order_relaxed); }
  void miss() noexcept {
    ++missed_;
    ++core_.counters_.dropped;
  }

  void put(cell& c, section& inside) noexcept {
    if (is_full()) {
      switch (policy_) {
        case slow_subscriber::disconnect:
          disconnected_ = true;
          list_hook::unlink();
          --core_.counters_.subscribers;
          end(inside);
          [[fallthrough]];
        case slow_subscriber::skip:
          miss();
          return;
        case slow_subscriber::drop_oldest:
          drop_front(inside);
          break;
        case slow_subscriber::wait:
          break;  // nothing is sent while he has no room
      }
    }
    const std::size_t last = first_ + size();
    ring_[last < capacity_ ? last : last - capacity_] = &c;
    ++c.readers;
    set_size(size() + 1);
    if (is_waited_for()) ++core_.full_;
    receiving_.take_all(inside.woken());
  }
  void end(section& inside) noexcept {
    ended_.store(true, std::memory_order_release);
    receiving_.take_all(inside.woken());
  }

  cell& pop_front() noexcept {
    cell* const front = ring_[first_];
    if (++first_ == capacity_) first_ = 0;
    set_size(size() - 1);
    return *front;
  }
  /// What is being read stays with its reader, who says at the end whether he has missed it.
  void drop_front(section& inside) noexcept {
    cell& oldest = pop_front();
    if (reading_ && !std::exchange(lost_while_reading_, true)) return;
    miss();
    core_.let_go(oldest, inside);
  }

  cell* front_or_end() {
    WEIR_DETAIL_ASSERT(!reading_ && readable(), "two receive from one subscription at once");
    if (size() != 0) return ring_[first_];
    if (disconnected_) {
      throw std::system_error(std::make_error_code(std::errc::no_buffer_space),
                              "receive: disconnected from a broadcast, for having been too slow");
    }
    return nullptr;
  }
  /// The front has been read, or could not be and stays.
  void finish(cell& front, bool taken, section& inside) noexcept {
    reading_ = false;
    const bool lost = detail::take(lost_while_reading_);
    if (!taken && !lost) return;
    taken ? static_cast<void>(++core_.counters_.received) : miss();
    const bool was_waited_for = is_waited_for();
    if (!lost) pop_front();
    core_.let_go(front, inside);
    if (was_waited_for) core_.one_less_full(inside);
  }

  core& core_;
  const std::size_t capacity_;
  std::size_t first_ = 0;
  std::atomic<std::size_t> size_{0};  // written under the lock
  const std::unique_ptr<cell*[]> ring_;
  const slow_subscriber policy_;
  std::atomic<bool> ended_{false};  // nothing more will come; written under the lock
  bool disconnected_ = false;
  bool reading_ = false;             // its front, without the lock
  bool lost_while_reading_ = false;  // the front that is being read was dropped meanwhile
  waiter_queue receiving_;
  std::uint64_t missed_ = 0;
};

}  // namespace detail
}  // namespace weir
