#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "../runtime/clock.hpp"
#include "../runtime/detail/config.hpp"
#include "../runtime/detail/invoke.hpp"
#include "../runtime/task.hpp"
#include "detail/batch_queue.hpp"
#include "detail/closing_tasks.hpp"
#include "shutdown_mode.hpp"

namespace weir {

/// Gathers items from many tasks into batches and hands each batch to one function: rows for a database, messages for a
/// broker.
///
///     weir::batcher<row> rows(insert_rows, {.size = 500, .longest = 50ms});  // task<> insert_rows(std::vector<row>)
///     auto written = co_await rows.add(std::move(r));  // waits for room, not for the database
///     co_await std::move(written);                     // when it matters: until the batch is in, or has failed
///
/// A batch is handed over when it has `size` items or `weight`, when its first item has waited for `longest`, when
/// flush() is called, and at shutdown(); there is no empty one. Adding goes on meanwhile, up to `room` items. Batches
/// go in the order in which they were begun, `flushes` of them at a time; with one, the order of items is kept.
///
/// Every item that was accepted has exactly one outcome, which its ticket tells: its batch was flushed, or failed with
/// what the function threw, or was cancelled. A failure of a batch whose tickets were all dropped goes to
/// runtime_options::on_error.
///
/// The function runs in tasks of the batcher's own, which start with the first item; what it refers to must live until
/// shutdown() has completed. Any task of any worker may add. Destroyed without shutdown() it stops those tasks, tells
/// the tickets that the rest was cancelled, and leaves the joining to the runtime.
template <class T>
class batcher {
  static_assert(std::is_object_v<T> && std::is_move_constructible_v<T>, "a batcher's items must be movable objects");
  using queue = detail::batch_queue<T>;

 public:
  /// `flush(std::vector<T>)` returns nothing or a task<>. Throws std::invalid_argument for options that make no sense.
  template <class F>
    requires std::invocable<std::decay_t<F>&, std::vector<T>>
  explicit batcher(F&& flush, const batcher_options& options = {})
      : batcher(std::forward<F>(flush), options, no_weight()) {}
  /// `weigh(const T&)` is what an item counts for `options.weight`; several tasks may call it at once.
  template <class F, class W>
    requires std::invocable<std::decay_t<F>&, std::vector<T>> && std::invocable<const std::decay_t<W>&, const T&>
  batcher(F&& flush, const batcher_options& options, W&& weigh)
      : queue_(std::make_shared<queue_for<std::decay_t<F>, std::decay_t<W>>>(options, std::forward<F>(flush),
                                                                             std::forward<W>(weigh))) {
    WEIR_DETAIL_REQUIRE_NAMED(F);
    WEIR_DETAIL_REQUIRE_NAMED(W);
    using returned = std::invoke_result_t<std::decay_t<F>&, std::vector<T>>;
    static_assert(std::is_void_v<returned> || std::is_same_v<returned, task<>>,
                  "batcher: the function takes a std::vector of items and returns nothing, or a task<>");
  }
  batcher(const batcher&) = delete;
  batcher& operator=(const batcher&) = delete;
  ~batcher() { queue_->abandon(); }

  /// Completes with a ticket once there was room, first come, first served: then the item is accepted. After
  /// shutdown(), also while it waits, the ticket is false and the item is gone. Cancelled while waiting: stops, not
  /// accepted. A frame, recycled; a batch allocates its vector and a record; O(1).
  [[nodiscard]] task<batch_ticket> add(T item) { return queue::add(queue_, *this, std::move(item)); }

  /// The same if there is room now and nobody waits for it. Otherwise the ticket is false and `item` is untouched.
  [[nodiscard]] batch_ticket try_add(T&& item) {
    start();
    return queue_->try_add(std::move(item));
  }

  /// Hands over what has been gathered, and completes when everything that was accepted before this has its outcome;
  /// failures are for the tickets. Cancelled: stops waiting, nothing else.
  [[nodiscard]] task<> flush() { return queue::flush(queue_); }

  /// Accepts nothing more. With `drain` flushes all that was accepted, the last partial batch too, but waits no longer
  /// than `limit`; then, or at once, stops the function and cancels the rest. Completes with true when everything was
  /// handed over. Idempotent, also from several tasks. Cancelled: stops waiting; it may be called again.
  task<bool> shutdown(shutdown_mode mode = shutdown_mode::drain, duration limit = duration::max()) {
    return end(mode, limit);
  }

  [[nodiscard]] batcher_stats stats() const noexcept { return queue_->stats(); }

 private:
  friend queue;
  struct no_weight {
    std::size_t operator()(const T&) const noexcept { return 0; }
  };

  template <class F, class W>
  class queue_for final : public queue {
   public:
    template <class G, class V>
    queue_for(const batcher_options& options, G&& flush, V&& weigh)
        : queue(options), flush_(std::forward<G>(flush)), weigh_(std::forward<V>(weigh)) {}

   private:
    task<> hand_over(std::vector<T> items) override {
      if constexpr (std::is_void_v<std::invoke_result_t<F&, std::vector<T>>>) {
        detail::invoke(flush_, std::move(items));
        co_return;
      } else {
        co_await detail::invoke(flush_, std::move(items));
      }
    }
    std::size_t weigh(const T& item) const override { return detail::invoke(weigh_, item); }

    F flush_;
    W weigh_;
  };

  /// With the first item.
  void start() {
    if (!queue_->begin()) return;
    if (queue_->is_timed()) tasks_.spawn(queue::keep_time, queue_);
    for (unsigned i = 0; i < queue_->flushes(); ++i) tasks_.spawn(queue::flush_all, queue_);
  }
  task<bool> end(shutdown_mode mode, duration limit) {
    const std::shared_ptr<queue> left = queue_;
    left->close();
    const bool all = co_await tasks_.shutdown(mode, limit);
    left->abandon();
    co_return all;
  }

  std::shared_ptr<queue> queue_;
  detail::closing_tasks tasks_;
};

}  // namespace weir
