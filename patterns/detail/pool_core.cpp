#include "pool_core.hpp"

#include <algorithm>
#include <exception>
#include <limits>
#include <stdexcept>
#include <string>
#include <system_error>

#include "../../runtime/as_result.hpp"
#include "../../runtime/detail/group_core.hpp"
#include "../../runtime/sleep.hpp"
#include "../../runtime/when_all.hpp"
#include "../../sync/select.hpp"

namespace weir::detail {
namespace {

resource_pool_options checked(const resource_pool_options& o) {
  const bool times = o.idle_timeout >= duration::zero() && o.max_lifetime > duration::zero() &&
                     o.check_after >= duration::zero() && o.retry_pause > duration::zero();
  if (o.max == 0 || o.min > o.max || o.max > 1'000'000'000 || !times) {
    throw std::invalid_argument(
        "weir: resource_pool: the options must have min <= max, 1 <= max <= 1e9, and no times below zero, with some "
        "lifetime and some retry_pause");
  }
  return o;
}

}  // namespace

/// Resources that are neither idle nor in use, but in the count: takes them out again. Who makes one has counted them.
class pool_core::counted_in {
 public:
  explicit counted_in(pool_core& pool, std::size_t count = 1) noexcept : pool_(pool), count_(count) {}
  counted_in(const counted_in&) = delete;
  counted_in& operator=(const counted_in&) = delete;
  ~counted_in() {
    bool useful = false;
    {
      const std::lock_guard guard(pool_.mutex_);
      pool_.stats_.opening -= count_;
      useful = !pool_.closed_ && pool_.count() < pool_.options_.min;
    }
    if (useful) pool_.look_.set();
  }

 private:
  pool_core& pool_;
  const std::size_t count_;
};

/// A resource that is being checked: it is closed unless it passes. A check that was stopped has left it in the middle
/// of something.
class pool_core::checked_out {
 public:
  checked_out(pool_core& pool, owned resource) noexcept : pool_(pool), resource_(std::move(resource)) {}
  checked_out(const checked_out&) = delete;
  checked_out& operator=(const checked_out&) = delete;
  ~checked_out() {
    if (resource_) pool_.close_one(std::move(resource_), &resource_pool_stats::unhealthy);
  }
  [[nodiscard]] pooled& resource() const noexcept { return *resource_; }
  owned passed() noexcept { return std::move(resource_); }

 private:
  pool_core& pool_;
  owned resource_;
};

pool_core::pool_core(const resource_pool_options& options)
    : options_(checked(options)),
      is_timed_(options.idle_timeout != duration::max() || options.max_lifetime != duration::max() ||
                options.check_after != duration::zero()),
      permits_(options.max) {
  // What can be leased can be taken back without an allocation.
  idle_.reserve(std::min<std::size_t>(options.max, 1024));
}

pool_core::~pool_core() = default;

void pool_core::require_open() const {
  if (closed_) {
    throw std::system_error(std::make_error_code(std::errc::operation_canceled),
                            "weir: resource_pool: the pool is closed");
  }
}

time_point pool_core::expiry_of(const pooled& one) const noexcept {
  return std::min(add_saturated(one.idle_since_, options_.idle_timeout),
                  add_saturated(one.opened_at_, options_.max_lifetime));
}

bool pool_core::has_expired(const pooled& one, time_point at) const noexcept {
  return add_saturated(one.opened_at_, options_.max_lifetime) <= at;
}

pooled* pool_core::lease_idle_locked(std::source_location where) {
  if (idle_.empty()) return nullptr;
  const pooled& latest = *idle_.back();
  const time_point at = moment();
  if (has_expired(latest, at) || (has_check() && at - latest.idle_since_ >= options_.check_after)) return nullptr;
  owned resource = std::move(idle_.back());
  idle_.pop_back();
  return &lease_locked(std::move(resource), where);
}

pool_core::candidate pool_core::take(std::source_location where) {
  candidate next;
  const std::lock_guard guard(mutex_);
  require_open();
  // The caller has a permit: either an idle resource, or one that may be opened.
  next.leased = lease_idle_locked(where);
  if (next.leased) return next;
  if (!idle_.empty()) {
    next.resource = std::move(idle_.back());
    idle_.pop_back();
    next.expired = has_expired(*next.resource, moment());
  }
  ++stats_.opening;
  return next;
}

pool_lease pool_core::try_acquire(const std::shared_ptr<pool_core>& from, std::source_location where) {
  semaphore_permit permit = from->permits_.try_acquire();
  if (!permit) return {};
  const std::lock_guard guard(from->mutex_);
  from->require_open();
  pooled* const leased = from->lease_idle_locked(where);
  if (!leased) return {};
  permit.forget();  // give_back() releases it
  return {from, *leased};
}

task<pool_core::owned> pool_core::open_one(pool_core& in) {
  auto made = co_await as_result(in.open());
  if (!made) {
    in.count_failed_to_open();
    made.value();
  }
  (*made)->opened_at_ = now();
  co_return std::move(*made);
}

task<pool_lease> pool_core::acquire(std::shared_ptr<pool_core> from, std::source_location where) {
  pool_core& pool = *from;
  semaphore_permit permit = pool.permits_.try_acquire();
  if (!permit) {
    class waiting {
     public:
      explicit waiting(pool_core& in) : in_(in) {
        const std::lock_guard guard(in_.mutex_);
        ++in_.stats_.waits;
        ++in_.stats_.waiting;
      }
      waiting(const waiting&) = delete;
      waiting& operator=(const waiting&) = delete;
      ~waiting() {
        const std::lock_guard guard(in_.mutex_);
        --in_.stats_.waiting;
      }

     private:
      pool_core& in_;
    };
    const waiting here(pool);
    auto granted = co_await pool.permits_.acquire();
    permit = std::move(granted);
  }
  for (;;) {
    candidate next = pool.take(where);
    if (!next.leased) {
      const counted_in place(pool);
      if (!next.resource) {
        auto opened = co_await open_one(pool);
        next.resource = std::move(opened);
        pool.count_opened(1);
      } else if (next.expired) {
        pool.close_one(std::move(next.resource), &resource_pool_stats::expired);
        continue;
      } else {
        checked_out examined(pool, std::move(next.resource));
        auto healthy = co_await as_result(pool.check(examined.resource()));
        if (!healthy || !*healthy) continue;
        next.resource = examined.passed();
      }
      next.leased = &pool.lease(std::move(next.resource), where);
    }
    permit.forget();  // give_back() releases it
    co_return pool_lease(std::move(from), *next.leased);
  }
}

pooled& pool_core::lease(owned resource, std::source_location where) {
  owned late;
  const std::lock_guard guard(mutex_);
  if (closed_) {
    ++stats_.closed;
    late.reset(resource.release());  // destroyed after the lock is free
    require_open();
  }
  return lease_locked(std::move(resource), where);
}

pooled& pool_core::lease_locked(owned resource, std::source_location where) {
  pooled& leased = *resource;
  leased.leased_at_ = where;
  leased.place_ = used_.size();
  idle_.reserve(used_.size() + idle_.size() + 1);  // for give_back()
  used_.push_back(std::move(resource));
  ++stats_.acquired;
  return leased;
}

pool_core::owned pool_core::unlease_locked(const pooled& used) noexcept {
  const std::size_t place = used.place_;
  std::swap(used_[place], used_.back());
  used_[place]->place_ = place;
  owned resource = std::move(used_.back());
  used_.pop_back();
  return resource;
}

void pool_core::give_back(pooled& used, bool usable) noexcept {
  owned aside;
  bool expired = false;
  bool useful = false;
  bool last = false;
  {
    const std::lock_guard guard(mutex_);
    owned resource = unlease_locked(used);
    last = closed_ && used_.empty();
    const time_point at = moment();
    expired = has_expired(*resource, at);
    if (usable && !expired && !closed_) {
      resource->idle_since_ = at;
      useful = expiry_of(*resource) < next_look_;
      idle_.push_back(std::move(resource));
    } else {
      ++stats_.opening;  // in the count until it is closed
      aside = std::move(resource);
    }
  }
  if (aside) {
    const counted_in place(*this);
    if (!usable) {
      close_one(std::move(aside), &resource_pool_stats::unhealthy);
    } else if (expired) {
      close_one(std::move(aside), &resource_pool_stats::expired);
    } else {
      put_idle(std::move(aside));  // closed: it ends there
    }
  }
  permits_.release();
  if (useful) look_.set();
  if (last) all_back_.set();
}

void pool_core::put_idle(owned resource) noexcept {
  bool useful = false;
  {
    const std::lock_guard guard(mutex_);
    resource->idle_since_ = moment();
    if (closed_) {
      ++stats_.closed;
      return;  // it ends with the parameter, when the lock is free
    }
    useful = expiry_of(*resource) < next_look_;
    idle_.push_back(std::move(resource));
  }
  if (useful) look_.set();
}

void pool_core::close_one(owned resource, std::uint64_t resource_pool_stats::* why) noexcept {
  resource.reset();
  const std::lock_guard guard(mutex_);
  ++stats_.closed;
  ++(stats_.*why);
}

task<> pool_core::open_all(std::shared_ptr<pool_core> in) {
  pool_core& pool = *in;
  std::size_t missing = pool.missing();
  auto permits = co_await pool.permits_.acquire(missing);
  missing = pool.count_missing(missing);
  if (missing == 0) static_cast<void>(pool.missing());  // throws when it was closed meanwhile
  const counted_in places(pool, missing);
  std::vector<task<owned>> openings;
  openings.reserve(missing);
  for (std::size_t i = 0; i < missing; ++i) openings.push_back(open_one(pool));
  // The first failure stops the others, and closes those that were opened.
  auto opened = co_await as_result(when_all(std::move(openings)));
  std::vector<owned> all = std::move(opened).value();
  pool.count_opened(missing);
  for (owned& one : all) pool.put_idle(std::move(one));
}

bool pool_core::begin_tidying() noexcept {
  const bool useful =
      options_.min != 0 || options_.idle_timeout != duration::max() || options_.max_lifetime != duration::max();
  if (!useful) return false;
  const std::lock_guard guard(mutex_);
  return !closed_ && !std::exchange(tidied_, true);
}

pool_core::upkeep pool_core::look(time_point at) {
  upkeep found;
  const std::lock_guard guard(mutex_);
  if (closed_) return found;
  std::size_t total = count();
  std::size_t kept = 0;
  for (owned& one : idle_) {  // the one that has been idle longest first
    const bool unused = total > options_.min && expiry_of(*one) <= at;
    if (unused || has_expired(*one, at)) {
      found.expired.push_back(std::move(one));
      --total;
      ++stats_.opening;  // in the count until it is closed
    } else {
      idle_[kept++] = std::move(one);
    }
  }
  idle_.resize(kept);
  found.missing = total < options_.min;
  for (const owned& one : idle_) {
    const time_point due =
        total > options_.min ? expiry_of(*one) : add_saturated(one->opened_at_, options_.max_lifetime);
    found.next = std::min(found.next, due);
  }
  next_look_ = found.next;
  return found;
}

std::size_t pool_core::missing() const {
  const std::lock_guard guard(mutex_);
  require_open();
  return options_.min - std::min(options_.min, count());
}

std::size_t pool_core::count_missing(std::size_t most) {
  const std::lock_guard guard(mutex_);
  if (closed_) return 0;
  const std::size_t counted = std::min(most, options_.min - std::min(options_.min, count()));
  stats_.opening += counted;
  return counted;
}

void pool_core::count_failed_to_open() noexcept {
  const std::lock_guard guard(mutex_);
  ++stats_.failed_to_open;
}

void pool_core::count_opened(std::size_t count) noexcept {
  const std::lock_guard guard(mutex_);
  stats_.opened += count;
}

task<> pool_core::tidy(std::shared_ptr<pool_core> in) {
  pool_core& pool = *in;
  time_point not_before{};  // the pause after a failure to open
  for (;;) {
    upkeep todo = pool.look(now());
    for (owned& one : todo.expired) {
      const counted_in place(pool);
      pool.close_one(std::move(one), &resource_pool_stats::expired);
    }
    if (todo.missing && now() < not_before) {
      todo.next = std::min(todo.next, not_before);
    } else if (todo.missing) {
      // Without one, others are opening what is missing.
      semaphore_permit permit = pool.permits_.try_acquire();
      if (permit) {
        if (pool.count_missing(1) == 0) continue;  // fewer are than were
        const counted_in place(pool);
        auto opened = co_await as_result(open_one(pool));
        if (opened) {
          pool.count_opened(1);
          pool.put_idle(std::move(*opened));
        } else {
          not_before = add_saturated(now(), pool.options_.retry_pause);
        }
        continue;
      }
    }
    auto woken = co_await select_ordered(pool.closing_.wait(), pool.look_.wait(), sleep_until(todo.next));
    if (woken.index() == 0) co_return;
  }
}

pool_lease::pool_lease(std::shared_ptr<pool_core> pool, pooled& resource) noexcept
    : pool_(std::move(pool)), resource_(&resource) {}
pool_lease::pool_lease(pool_lease&& other) noexcept
    : pool_(std::move(other.pool_)), resource_(take(other.resource_)), usable_(other.usable_) {}

pool_lease& pool_lease::operator=(pool_lease&& other) noexcept {
  pool_lease taken(std::move(other));
  trade(pool_, taken.pool_);
  trade(resource_, taken.resource_);
  trade(usable_, taken.usable_);
  return *this;
}

pool_lease::~pool_lease() { give_back(); }

void pool_lease::give_back() noexcept {
  if (!resource_) return;
  const std::shared_ptr<pool_core> pool = std::move(pool_);
  pool->give_back(*std::exchange(resource_, nullptr), usable_);
}

void pool_core::close() noexcept {
  std::vector<owned> ended;
  bool none_out = false;
  {
    const std::lock_guard guard(mutex_);
    if (std::exchange(closed_, true)) return;
    ended.swap(idle_);
    stats_.closed += ended.size();
    none_out = used_.empty();
  }
  ended.clear();
  closing_.set();
  // Those who wait come through, and find it closed.
  permits_.release(std::numeric_limits<std::size_t>::max() / 2);
  if (none_out) all_back_.set();
}

std::size_t pool_core::in_use() const {
  const std::lock_guard guard(mutex_);
  return used_.size();
}

resource_pool_stats pool_core::stats() const {
  const std::lock_guard guard(mutex_);
  resource_pool_stats all = stats_;
  all.in_use = used_.size();
  all.idle = idle_.size();
  return all;
}

void pool_core::report_leaks() {
  std::string text;
  {
    const std::lock_guard guard(mutex_);
    if (used_.empty()) return;
    text = "weir: a resource_pool was destroyed while leases of it are out, which were taken at";
    for (const owned& one : used_) {
      text += ' ';
      text += one->leased_at_.file_name();
      text += ':';
      text += std::to_string(one->leased_at_.line());
    }
  }
  report_unobserved(std::make_exception_ptr(std::logic_error(text)));
}

}  // namespace weir::detail
