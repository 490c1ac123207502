#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <source_location>
#include <string>
#include <utility>
#include <vector>

#include "../../runtime/clock.hpp"
#include "../../runtime/detail/config.hpp"
#include "../../runtime/detail/light_std.hpp"
#include "../../runtime/detail/owned.hpp"
#include "../../runtime/detail/take.hpp"
#include "../../runtime/task.hpp"
#include "../../sync/event.hpp"
#include "../../sync/semaphore.hpp"

namespace weir {

struct resource_pool_options {
  /// Resources that are kept open, once the pool is used.
  std::size_t min = 0;
  /// Resources at a time, in use, idle or being opened. At least 1, and `min`.
  std::size_t max = 10;
  /// One that nobody has used for so long is closed, unless there are only `min`.
  duration idle_timeout = duration::max();
  /// One that was opened so long ago is closed as soon as it is not in use.
  duration max_lifetime = duration::max();
  /// The health check is asked only about those that have been idle for so long.
  duration check_after = duration::zero();
  /// How long the pool waits after it could not open one of its `min`.
  duration retry_pause = std::chrono::seconds(1);
};
static_assert(detail::trivially_destructible<resource_pool_options>);

/// What a resource_pool has done so far, and what it has now.
struct resource_pool_stats {
  std::size_t in_use = 0;
  std::size_t idle = 0;
  std::size_t opening = 0;           ///< being opened or checked
  std::size_t waiting = 0;           ///< calls of acquire() that wait for others
  std::uint64_t acquired = 0;        ///< leases given
  std::uint64_t waits = 0;           ///< calls of acquire() that had to wait for others
  std::uint64_t opened = 0;          ///< resources
  std::uint64_t closed = 0;          ///< resources, for whatever reason; also because
  std::uint64_t expired = 0;         ///<   they had been idle or alive for too long
  std::uint64_t unhealthy = 0;       ///<   they had not passed their check, or were discarded
  std::uint64_t failed_to_open = 0;  ///< attempts
};

namespace detail {

/// A resource with what its pool knows of it.
class pooled {
 public:
  pooled() = default;
  pooled(const pooled&) = delete;
  pooled& operator=(const pooled&) = delete;
  virtual ~pooled() = default;

 private:
  friend class pool_core;
  time_point opened_at_{};
  time_point idle_since_{};
  std::size_t place_ = 0;  // among those in use
  std::source_location leased_at_;
};

class pool_core;

/// The right to use a resource; gives it back at its end.
class pool_lease {
 public:
  pool_lease() = default;
  pool_lease(std::shared_ptr<pool_core> pool, pooled& resource) noexcept;
  pool_lease(pool_lease&& other) noexcept;
  pool_lease& operator=(pool_lease&& other) noexcept;
  ~pool_lease();

  [[nodiscard]] pooled* resource() const noexcept { return resource_; }
  void give_back() noexcept;
  void spoil() noexcept { usable_ = false; }

 private:
  std::shared_ptr<pool_core> pool_;
  pooled* resource_ = nullptr;
  bool usable_ = true;
};

/// The part of a resource_pool that does not depend on the type, shared by the pool, its leases and its task.
///
/// A permit of `permits_` is the right to use a resource or to open one. An idle resource has none, and one is opened
/// only when there is none idle, or too few of all. So idle ones and permits together are never more than `max`: a
/// resource that comes back is idle before its permit is free.
class pool_core : public std::enable_shared_from_this<pool_core> {
 public:
  explicit pool_core(const resource_pool_options& options);
  pool_core(const pool_core&) = delete;
  pool_core& operator=(const pool_core&) = delete;
  virtual ~pool_core();

  static task<pool_lease> acquire(std::shared_ptr<pool_core> from, std::source_location where);
  /// Empty when nothing can be lent out at once.
  static pool_lease try_acquire(const std::shared_ptr<pool_core>& from, std::source_location where);
  void give_back(pooled& used, bool usable) noexcept;

  /// Opens what is missing of `min`, all or nothing.
  static task<> open_all(std::shared_ptr<pool_core> in);
  /// The pool's own task: closes what has expired, opens what is missing, until the pool is closed.
  static task<> tidy(std::shared_ptr<pool_core> in);
  /// Whether it has anything to do, ever. True once.
  bool begin_tidying() noexcept;

  void close() noexcept;
  [[nodiscard]] event_wait_operation all_back() noexcept { return all_back_.wait(); }
  [[nodiscard]] std::size_t in_use() const;
  [[nodiscard]] resource_pool_stats stats() const;
  /// Tells of leases that are out when the pool goes.
  void report_leaks();

 private:
  using owned = detail::owned<pooled>;
  class counted_in;
  class checked_out;

  virtual task<owned> open() = 0;
  virtual bool has_check() const noexcept = 0;
  virtual task<bool> check(pooled& resource) = 0;

  /// What acquire() has found: a lease, a resource to look at, or nothing, so that one may be opened.
  struct candidate {
    pooled* leased = nullptr;
    owned resource;
    bool expired = false;
  };
  candidate take(std::source_location where);
  /// The idle resource that was used last, unless it must be looked at before. Null without one.
  pooled* lease_idle_locked(std::source_location where);
  static task<owned> open_one(pool_core& in);
  pooled& lease(owned resource, std::source_location where);
  pooled& lease_locked(owned resource, std::source_location where);
  owned unlease_locked(const pooled& used) noexcept;
  void put_idle(owned resource) noexcept;
  void close_one(owned resource, std::uint64_t resource_pool_stats::* why) noexcept;
  [[nodiscard]] bool has_expired(const pooled& one, time_point at) const noexcept;
  /// When the idle resource `one` is to be closed.
  [[nodiscard]] time_point expiry_of(const pooled& one) const noexcept;
  void require_open() const;
  [[nodiscard]] std::size_t count() const noexcept { return idle_.size() + used_.size() + stats_.opening; }
  /// How many are missing of `min`. Throws when it is closed.
  [[nodiscard]] std::size_t missing() const;
  /// Counts in so many of them, at most, that are about to be opened; none when it is closed.
  std::size_t count_missing(std::size_t most);
  void count_opened(std::size_t count) noexcept;
  void count_failed_to_open() noexcept;
  /// What time it is, if that matters.
  [[nodiscard]] time_point moment() const noexcept { return is_timed_ ? now() : time_point(); }
  struct upkeep {
    std::vector<owned> expired;
    bool missing = false;
    time_point next = time_point::max();
  };
  upkeep look(time_point at);

  const resource_pool_options options_;
  const bool is_timed_;  // the clock is not read otherwise
  semaphore permits_;
  event closing_;
  event look_{reset_mode::automatic};  // the tidying task has something to do before it would wake
  event all_back_;
  mutable std::mutex mutex_;
  bool closed_ = false;  // guarded by mutex_, as all that follows
  bool tidied_ = false;
  time_point next_look_ = time_point::min();  // when the tidying task will wake by itself
  std::vector<owned> idle_;                   // the one that came back last is the last, and the next to go
  std::vector<owned> used_;
  resource_pool_stats stats_;
};

}  // namespace detail
}  // namespace weir
