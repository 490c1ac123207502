#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "../../runtime/clock.hpp"
#include "../../runtime/detail/config.hpp"
#include "../../runtime/detail/later.hpp"
#include "../../runtime/detail/light_std.hpp"
#include "../../runtime/result.hpp"
#include "../../runtime/sleep.hpp"
#include "../../runtime/task.hpp"
#include "../../sync/channel.hpp"
#include "../../sync/event.hpp"
#include "../../sync/select.hpp"
#include "../../sync/semaphore.hpp"
#include "../batch_ticket.hpp"

namespace weir {

struct batcher_options {
  /// Items in a batch, at most; at least one.
  std::size_t size = 100;
  /// How long the first item of a batch waits for others.
  duration longest = std::chrono::seconds(1);
  /// What the items of a batch weigh together, at most, if the batcher was given a function that tells. An item that
  /// weighs more goes alone.
  std::size_t weight = std::numeric_limits<std::size_t>::max();
  /// Batches that are flushed at a time, at least one.
  unsigned flushes = 1;
  /// Items that may wait, beside those that are being flushed; at least `size`. 0: twice `size`.
  std::size_t room = 0;
};
static_assert(detail::trivially_destructible<batcher_options>);

/// What a batcher has done so far. When it rests, accepted = flushed + failed + cancelled + waiting.
struct batcher_stats {
  std::uint64_t accepted = 0;   ///< items
  std::uint64_t flushed = 0;    ///< items whose batch the function took
  std::uint64_t failed = 0;     ///< items whose batch it failed with
  std::uint64_t cancelled = 0;  ///< items whose batch was not, or not completely, flushed before the end
  std::uint64_t batches = 0;    ///< that were handed over
  std::size_t waiting = 0;      ///< items that have no outcome yet
};

namespace detail {

/// Throws std::invalid_argument when they make no sense; fills in `room`.
batcher_options checked_batcher_options(batcher_options options);

/// What a batcher shares with its tasks. One batch is open and takes items; those that are closed lie in a channel, out
/// of which the flushing tasks take them. An item holds a permit of `room_` until its batch is being flushed.
template <class T>
class batch_queue {
 public:
  explicit batch_queue(const batcher_options& options)
      : options_(checked_batcher_options(options)), room_(options_.room) {}
  batch_queue(const batch_queue&) = delete;
  batch_queue& operator=(const batch_queue&) = delete;
  virtual ~batch_queue() { abandon(); }

  template <class Batcher>
  static task<batch_ticket> add(std::shared_ptr<batch_queue> to, Batcher& owner, T item) {
    owner.start();  // the owner may be gone once this has waited
    auto place = co_await to->room_.acquire();
    co_return to->put(std::move(item), std::move(place));
  }
  batch_ticket try_add(T&& item) {
    auto place = room_.try_acquire();
    if (!place) return batch_ticket::refused();
    return put(std::move(item), std::move(place));
  }

  static task<> flush(std::shared_ptr<batch_queue> of) {
    const auto before = of->close_open();
    for (const auto& record : before) co_await record->settled();
  }

  /// True once.
  bool begin() noexcept { return !begun_.load(std::memory_order_relaxed) && !begun_.exchange(true); }
  [[nodiscard]] bool is_timed() const noexcept { return options_.longest != duration::max(); }
  [[nodiscard]] unsigned flushes() const noexcept { return options_.flushes; }

  static task<> flush_all(std::shared_ptr<batch_queue> of) {
    while (auto next = co_await of->closed_batches_.receive()) {
      batch mine(std::move(*next));
      of->room_.release(mine.record().items());
      failure failed;
      try {
        co_await of->hand_over(mine.take());
      } catch (...) {
        failed = failure(std::current_exception());
      }
      mine.settle(std::move(failed));
    }
  }

  /// Closes the open batch when its time has come. It sleeps at most until the time of the batch that was open when it
  /// went to sleep; a later one's is later.
  static task<> keep_time(std::shared_ptr<batch_queue> of) {
    for (;;) {
      const time_point due = of->close_if_due(now());
      if (due == time_point::max()) {
        auto chosen = co_await select_ordered(of->closing_.wait(), of->opened_.wait());
        if (chosen.index() == 0) co_return;
      } else {
        auto chosen = co_await select_ordered(of->closing_.wait(), sleep_until(due));
        if (chosen.index() == 0) co_return;
      }
    }
  }

  /// Nothing is accepted any more; the flushing tasks end when all is flushed.
  void close() {
    {
      const std::lock_guard guard(mutex_);
      if (std::exchange(closed_, true)) return;
      close_batch();
    }
    closed_batches_.close();
    closing_.set();
    // Those who wait for room come through, and find it closed.
    room_.release(everybody);
  }
  /// The same, and what is not being flushed is cancelled.
  void abandon() noexcept {
    std::optional<batch> unfinished;
    {
      const std::lock_guard guard(mutex_);
      if (open_) unfinished.emplace(std::move(*open_));
      open_.reset();
    }
    unfinished.reset();
    close();
    closed_batches_.close_and_clear();
  }

  [[nodiscard]] batcher_stats stats() const noexcept {
    batcher_stats all;
    all.flushed = flushed_.load(std::memory_order_acquire);
    all.failed = failed_.load(std::memory_order_acquire);
    all.cancelled = cancelled_.load(std::memory_order_acquire);
    all.batches = batches_.load(std::memory_order_relaxed);
    all.accepted = accepted_.load(std::memory_order_relaxed);  // last: what has an outcome was accepted
    all.waiting = static_cast<std::size_t>(all.accepted - all.flushed - all.failed - all.cancelled);
    return all;
  }

 private:
  static constexpr std::size_t everybody = std::numeric_limits<std::size_t>::max() / 4;

  /// Items that stay together. One that goes without an outcome was cancelled.
  class batch {
   public:
    explicit batch(batch_queue& queue) : queue_(&queue), record_(std::make_shared<batch_record>()) {
      constexpr std::size_t most_in_advance = 1024;
      items_.reserve(std::min(queue.options_.size, most_in_advance));
    }
    batch(batch&&) noexcept = default;
    batch& operator=(batch&&) = delete;
    ~batch() {
      if (record_) settle(failure::cancellation(cancellation_cause::requested));
    }
    void add(T&& item, std::size_t weight) {
      items_.push_back(std::move(item));
      record_->count_item();
      weight_ += weight;
    }
    [[nodiscard]] bool empty() const noexcept { return items_.empty(); }
    [[nodiscard]] std::size_t size() const noexcept { return items_.size(); }
    [[nodiscard]] std::size_t weight() const noexcept { return weight_; }
    [[nodiscard]] batch_record& record() const noexcept { return *record_; }
    [[nodiscard]] const std::shared_ptr<batch_record>& shared_record() const noexcept { return record_; }
    std::vector<T> take() noexcept { return std::move(items_); }
    void settle(failure how) noexcept {
      const std::shared_ptr<batch_record> record = std::move(record_);
      queue_->note_settled(record.get(), how);
      record->settle(std::move(how));
    }

   private:
    batch_queue* queue_;  // outlives it: it lies there, or in a task that shares it
    std::vector<T> items_;
    std::size_t weight_ = 0;
    std::shared_ptr<batch_record> record_;
  };

  virtual task<> hand_over(std::vector<T> items) = 0;
  virtual std::size_t weigh(const T& item) const = 0;

  batch_ticket put(T&& item, semaphore_permit place) {
    const std::size_t weight = weigh(item);
    bool opened = false;
    std::shared_ptr<batch_record> record;
    {
      const std::lock_guard guard(mutex_);
      if (closed_) return batch_ticket::refused();
      if (open_ && !open_->empty() && weight > options_.weight - open_->weight()) close_batch();
      if (!open_) {
        open_.emplace(*this);
        open_due_ = add_saturated(now(), options_.longest);
        opened = true;
      }
      open_->add(std::move(item), std::min(weight, options_.weight));
      place.forget();
      accepted_.fetch_add(1, std::memory_order_relaxed);
      record = open_->shared_record();
      if (open_->size() >= options_.size || open_->weight() >= options_.weight) {
        close_batch();
        opened = false;
      }
    }
    if (opened) opened_.set();
    return batch_ticket(std::move(record));
  }
  /// Those that are not settled, then.
  std::vector<std::shared_ptr<batch_record>> close_open() {
    const std::lock_guard guard(mutex_);
    close_batch();
    return later<T>(unsettled_);
  }
  /// Under the mutex.
  void close_batch() {
    if (!open_ || open_->empty()) return;
    unsettled_.push_back(open_->shared_record());
    static_cast<void>(closed_batches_.try_send(std::move(*open_)));  // unbounded, and closed only after this
    open_.reset();
    batches_.fetch_add(1, std::memory_order_relaxed);
  }
  /// When the batch that is open after that is due.
  time_point close_if_due(time_point at) {
    const std::lock_guard guard(mutex_);
    if (open_ && open_due_ <= at) close_batch();
    return open_ ? open_due_ : time_point::max();
  }
  void note_settled(const batch_record* record, const failure& how) noexcept {
    auto& outcome = !how ? flushed_ : how.is_cancelled() ? cancelled_ : failed_;
    outcome.fetch_add(record->items(), std::memory_order_release);
    const std::lock_guard guard(mutex_);
    std::erase_if(unsettled_, [record](const auto& other) { return other.get() == record; });
  }

  const batcher_options options_;
  std::atomic<bool> begun_{false};
  std::atomic<std::uint64_t> accepted_{0};
  std::atomic<std::uint64_t> flushed_{0};
  std::atomic<std::uint64_t> failed_{0};
  std::atomic<std::uint64_t> cancelled_{0};
  std::atomic<std::uint64_t> batches_{0};
  event closing_;
  event opened_{reset_mode::automatic};
  semaphore room_;
  std::mutex mutex_;
  bool closed_ = false;                                   // guarded by mutex_, as all up to open_
  std::vector<std::shared_ptr<batch_record>> unsettled_;  // of batches that are closed
  time_point open_due_{};
  std::optional<batch> open_;
  channel<batch> closed_batches_{unbounded};  // its batches refer to what stands before it
};

}  // namespace detail
}  // namespace weir
