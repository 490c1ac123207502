#include "offload_abandonable.hpp"

#include <atomic>
#include <memory>
#include <utility>

#include "detail/worker.hpp"

namespace weir::detail {

namespace {

// A call that hangs keeps its thread: there have to be more of them than of those that end by themselves.
constexpr unsigned most_threads = 64;

// Never destroyed: their threads may be inside a call when the process ends.
constinit std::atomic<offload_pool*> pool_of_process{nullptr};
constinit offload_pool* pool_of_parent = nullptr;  // in a forked child, so that leak checkers see who has it

offload_pool& abandonable_pool() {
  offload_pool* pool = pool_of_process.load(std::memory_order_acquire);
  if (pool) return *pool;
  offload_pool::options how;
  how.most_threads = most_threads;
  how.name = "weir";
  auto made = std::make_unique<offload_pool>(std::move(how));
  if (pool_of_process.compare_exchange_strong(pool, made.get(), std::memory_order_acq_rel)) pool = made.release();
  return *pool;
}

}  // namespace

// Its threads are the parent's, and one of them may have had its lock.
void leave_abandonable_pool() noexcept {
  pool_of_parent = pool_of_process.exchange(nullptr, std::memory_order_relaxed);
}

void abandonable_job::run() noexcept {
  call();
  if (claim()) waiting_->complete();
  drop_reference();
}

bool abandonable_job::abandon(cancellation_cause cause) noexcept {
  if (!claim()) return false;
  if (abandonable_pool().withdraw(*this)) drop_reference();  // the pool's, which will not come to it
  abandoned_.request(cause);
  return true;
}

void abandonable_job::call_here() noexcept {
  call();
  if (claim()) waiting_->complete();
}

void abandonable_job::submit() noexcept {
  if (abandonable_pool().submit(*this)) return;
  // A stop came first, or there is no thread.
  if (claim()) {
    refuse();
    waiting_->complete();
  }
  drop_reference();
}

void abandonable_core::submit(const await_context& context, abandonable_job& job) noexcept {
  const bool simulated = context.env->runtime->simulation().enabled;
  job_ = &job;
  job.waiting_ = this;
  job.add_reference();  // the pool's
  // From begin() on a stop may come, and with it the end of this object: only the job is used.
  if (!begin(context)) {
    job.drop_reference();
  } else if (simulated) {
    job.call_here();
    job.drop_reference();
  } else {
    job.submit();
  }
}

void abandonable_core::request_stop(cancellation_cause cause) noexcept {
  if (job_->abandon(cause)) complete_stopped();
}

}  // namespace weir::detail
