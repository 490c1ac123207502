#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <utility>

#include "../runtime/detail/config.hpp"
#include "../runtime/detail/wrapped_operation.hpp"
#include "../runtime/result.hpp"
#include "../sync/event.hpp"

namespace weir {
namespace detail {

template <class T>
class batch_queue;

/// What becomes of a batch: shared by its tickets and by who flushes it.
class batch_record {
 public:
  batch_record() = default;
  batch_record(const batch_record&) = delete;
  batch_record& operator=(const batch_record&) = delete;
  /// A failure that no ticket has told goes to runtime_options::on_error.
  ~batch_record();

  // While the batch is open.
  void count_item() noexcept { ++items_; }
  [[nodiscard]] std::size_t items() const noexcept { return items_; }

  void settle(failure how) noexcept;
  [[nodiscard]] event_wait_operation settled() noexcept { return settled_.wait(); }
  [[nodiscard]] bool is_settled() const noexcept { return settled_.is_set(); }
  /// Once it is settled.
  [[nodiscard]] const failure& tell() noexcept {
    told_.store(true, std::memory_order_relaxed);
    return how_;
  }

 private:
  std::size_t items_ = 0;
  event settled_;
  failure how_;  // written before it is settled, read after
  std::atomic<bool> told_{false};
};

}  // namespace detail

/// What batcher::add() gives for an item that it has accepted. Awaiting it, once, as `co_await std::move(ticket)`,
/// waits until the item's batch has been flushed; throws what the flush has thrown, or `cancelled` when the batch was
/// not flushed. Cancelled while waiting: stops; the item stays in its batch. Selectable. It may be dropped, and may
/// outlive the batcher.
class [[nodiscard]] batch_ticket : public detail::wrapped_operation<detail::event_wait_operation> {
 public:
  using value_type = void;

  batch_ticket(batch_ticket&&) noexcept = default;
  batch_ticket(const batch_ticket&) = delete;
  batch_ticket& operator=(batch_ticket&&) = delete;
  ~batch_ticket() = default;

  /// Whether the item was accepted. One that was not tells `cancelled`.
  explicit operator bool() const noexcept { return accepted_; }
  /// Whether awaiting it would not wait.
  [[nodiscard]] bool is_settled() const noexcept { return record_->is_settled(); }

  // The operation protocol.
  void resume();
  result<void> resume_result() noexcept;

 private:
  template <class>
  friend class detail::batch_queue;
  explicit batch_ticket(std::shared_ptr<detail::batch_record> record, bool accepted = true) noexcept
      : wrapped_operation(record->settled()), record_(std::move(record)), accepted_(accepted) {}
  static batch_ticket refused();

  std::shared_ptr<detail::batch_record> record_;
  bool accepted_;
};

}  // namespace weir
