#pragma once

#include "../../runtime/detail/take.hpp"
#include "io_operation.hpp"

namespace weir::detail {

/// A first in, first out list of operations, one pointer in size; owns nothing. Through links that are the reactor's,
/// as the hook of an operation is its descriptor's: it stands in one queue at a time. All O(1).
class leaf_queue {
 public:
  leaf_queue() = default;
  leaf_queue(leaf_queue&& other) noexcept : first_(detail::take(other.first_)) {}
  /// Forgets what is in it.
  leaf_queue& operator=(leaf_queue&& other) noexcept {
    first_ = detail::take(other.first_);
    return *this;
  }
  ~leaf_queue() = default;

  [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }
  /// Null when empty.
  [[nodiscard]] io_leaf* first() const noexcept { return first_; }
  void push(io_leaf& op) noexcept {
    if (!first_) {
      first_ = op.next_waiting = op.previous_waiting = &op;
      return;
    }
    op.next_waiting = first_;
    op.previous_waiting = first_->previous_waiting;
    op.previous_waiting->next_waiting = first_->previous_waiting = &op;
  }
  /// Null when empty.
  io_leaf* pop() noexcept {
    io_leaf* const op = first_;
    if (op) remove(*op);
    return op;
  }
  /// An operation that is in it.
  void remove(io_leaf& op) noexcept {
    if (first_ == &op) first_ = op.next_waiting == &op ? nullptr : op.next_waiting;
    op.next_waiting->previous_waiting = op.previous_waiting;
    op.previous_waiting->next_waiting = op.next_waiting;
    op.next_waiting = op.previous_waiting = nullptr;
  }

 private:
  io_leaf* first_ = nullptr;
};

}  // namespace weir::detail
