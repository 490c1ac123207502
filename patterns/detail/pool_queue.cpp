#include "pool_queue.hpp"

#include <algorithm>
#include <limits>
#include <mutex>
#include <utility>

namespace weir::detail {

namespace {

constexpr std::int64_t first_key = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t last_key = std::numeric_limits<std::int64_t>::max();

std::int64_t times_saturated(std::int64_t a, std::int64_t b) noexcept {
  std::int64_t product = 0;
  if (!__builtin_mul_overflow(a, b, &product)) return product;
  return (a < 0) == (b < 0) ? last_key : first_key;
}

std::int64_t minus_saturated(std::int64_t a, std::int64_t b) noexcept {
  std::int64_t difference = 0;
  if (!__builtin_sub_overflow(a, b, &difference)) return difference;
  return a < b ? first_key : last_key;
}

}  // namespace

pool_queue::pool_queue(std::size_t room, job_order order, duration aging) : order_(order), aging_(aging), items_(room) {
  constexpr std::size_t most_in_advance = 1024;
  if (is_ordered()) heap_.reserve(std::min(room, most_in_advance));
}

// All levels rise at the same rate while they wait, so their order does not change: a level is worth so much time, and
// who came so much earlier is before. What is compared is the time of arrival less that.
std::int64_t pool_queue::key_of(const pool_job& job, const submit_options& options, time_point now) const noexcept {
  if (order_ == job_order::priority) {
    if (aging_ == duration::max()) return -std::int64_t{options.priority};
    return minus_saturated(now.time_since_epoch().count(), times_saturated(options.priority, aging_.count()));
  }
  const time_point due = job.deadline != no_deadline ? job.deadline : add_saturated(now, aging_);
  return due.time_since_epoch().count();
}

void pool_queue::reserve_one() {
  if (heap_.size() == heap_.capacity()) heap_.reserve(2 * heap_.size() + 1);
}

void pool_queue::insert(pool_job& job) noexcept {
  heap_.push_back(entry{job.key, inserted_++, &job});
  std::push_heap(heap_.begin(), heap_.end(), later);
}

bool pool_queue::try_push(pool_job& job) {
  if (!is_ordered()) return items_.try_send(pool_item{&job, false});
  // Whoever gets the token waits here until its job is in.
  const std::lock_guard guard(lock_);
  reserve_one();
  if (!items_.try_send(pool_item())) return false;
  insert(job);
  return true;
}

task<bool> pool_queue::push(pool_job& job, bool& pushed) {
  if (!is_ordered()) {
    pool_item item{&job, false};
    const bool sent = co_await items_.send(std::move(item));
    pushed = sent;
    co_return sent;
  }
  auto permit = co_await items_.reserve();
  if (!permit) co_return false;
  {
    const std::lock_guard guard(lock_);
    if (closed_) co_return false;
    reserve_one();
    insert(job);
  }
  pushed = true;
  co_return permit.send(pool_item());
}

void pool_queue::rouse() { items_.try_send(pool_item{nullptr, true}); }

void pool_queue::close() noexcept {
  if (is_ordered()) {
    const std::lock_guard guard(lock_);
    closed_ = true;
  }
  items_.close();
}

pool_job* pool_queue::pop_first() noexcept {
  if (heap_.empty()) return nullptr;
  std::pop_heap(heap_.begin(), heap_.end(), later);
  pool_job* const first = heap_.back().job;
  heap_.pop_back();
  return first;
}

pool_job* pool_queue::job_of(const pool_item& item) noexcept {
  if (!is_ordered()) return item.job;
  const std::lock_guard guard(lock_);
  return pop_first();
}

pool_job* pool_queue::try_pop() noexcept {
  while (auto item = items_.try_receive()) {
    if (!is_ordered() && item->job) return item->job;
  }
  if (!is_ordered()) return nullptr;
  const std::lock_guard guard(lock_);
  return pop_first();
}

}  // namespace weir::detail
