#pragma once

#include <atomic>

#include "scheduler.hpp"

namespace weir::detail {

/// Messages to one worker, from any thread; delivered in the order in which they were posted. Treiber's stack
/// ("Systems Programming: Coping with Parallelism", 1986) with a consumer that takes everything, so that no node is
/// ever met twice.
class inbox {
 public:
  void push(message& m) noexcept {
    message* head = head_.load(std::memory_order_relaxed);
    do {
      m.next_ = head;
    } while (!head_.compare_exchange_weak(head, &m, std::memory_order_seq_cst, std::memory_order_relaxed));
  }

  [[nodiscard]] bool empty() const noexcept { return head_.load(std::memory_order_relaxed) == nullptr; }

  /// Ordered after what the caller has announced: for the decision to park.
  [[nodiscard]] bool empty_now() const noexcept { return head_.load(std::memory_order_seq_cst) == nullptr; }

  /// While nobody else can post: forgets what is there.
  void clear() noexcept {
    head_.store(nullptr, std::memory_order_relaxed);
    pending_ = nullptr;
  }

  /// Owner only. Delivers what is there when it is called: who posts without end does not keep the owner here. A
  /// message may be delivered inside of another one's delivery, each just once.
  void deliver_all() noexcept {
    message* taken = head_.exchange(nullptr, std::memory_order_acquire);
    message** end = &pending_;
    while (*end) end = &(*end)->next_;
    message* reversed = nullptr;
    while (taken) {
      message* next = taken->next_;
      taken->next_ = reversed;
      reversed = taken;
      taken = next;
    }
    *end = reversed;
    deliver_pending();
  }

 private:
  void deliver_pending() noexcept {
    while (pending_) {
      message* first = pending_;
      pending_ = first->next_;
      first->next_ = nullptr;
      first->deliver();
    }
  }

  std::atomic<message*> head_{nullptr};
  message* pending_ = nullptr;  // taken, in order, not delivered yet; the owner's
};

}  // namespace weir::detail
