#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "../../runtime/task.hpp"
#include "../../sync/channel.hpp"
#include "../../sync/detail/domain_lock.hpp"
#include "../worker_pool_options.hpp"
#include "pool_job.hpp"

namespace weir::detail {

/// What goes through a pool's channel: a job, or where jobs are ordered, the right to take the first of them.
struct pool_item {
  pool_job* job = nullptr;
  bool look_up = false;  // no job: its worker is to see whether it is still wanted
};

/// The jobs of a pool that wait for a worker. All waiting is that of a channel: who submits waits for room in it, and
/// workers for what lies in it. With an order the jobs themselves lie in a heap, and the channel carries one token for
/// each of them, so that room, closing and direct hand-over are the same.
class pool_queue {
 public:
  pool_queue(std::size_t room, job_order order, duration aging);

  /// False when there is no room, or it is closed. O(1); ordered, O(log n).
  bool try_push(pool_job& job);
  /// Waits for room. False once it is closed. `pushed` is true from when a worker may have the job; when this is
  /// stopped before that, the job is untouched.
  [[nodiscard]] task<bool> push(pool_job& job, bool& pushed);

  /// Completes with an item, or with nothing once it is closed and empty.
  [[nodiscard]] auto next() noexcept { return items_.receive(); }
  /// The job that an item stands for; null where it has been taken out by a cancellation.
  [[nodiscard]] pool_job* job_of(const pool_item& item) noexcept;
  /// A job, if one waits. For who takes them all out.
  [[nodiscard]] pool_job* try_pop() noexcept;

  /// Makes one worker look up that waits for a job, if one does.
  void rouse();

  /// From now on nothing gets in.
  void close() noexcept;
  [[nodiscard]] bool is_closed() const noexcept { return items_.is_closed(); }
  [[nodiscard]] std::size_t size() const noexcept { return items_.size(); }
  [[nodiscard]] std::size_t room() const noexcept { return items_.capacity(); }
  [[nodiscard]] bool is_ordered() const noexcept { return order_ != job_order::fifo; }
  /// Where `job`, which comes now, stands in the order.
  [[nodiscard]] std::int64_t key_of(const pool_job& job, const submit_options& options, time_point now) const noexcept;

 private:
  struct entry {
    std::int64_t key;
    std::uint64_t number;  // equal ones: first come, first served
    pool_job* job;
  };
  static bool later(const entry& a, const entry& b) noexcept {
    return a.key != b.key ? a.key > b.key : a.number > b.number;
  }
  /// Under the lock. Throws before anything has changed.
  void reserve_one();
  void insert(pool_job& job) noexcept;
  pool_job* pop_first() noexcept;

  const job_order order_;
  const duration aging_;
  channel<pool_item> items_;
  domain_lock lock_;
  std::vector<entry> heap_;     // guarded by lock_. There are at least as many as tokens, but for cancellations
  std::uint64_t inserted_ = 0;  // the same
  bool closed_ = false;         // the same; a channel lets those in who had got room before
};

}  // namespace weir::detail
