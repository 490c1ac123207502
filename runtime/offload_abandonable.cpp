#include "offload_abandonable.hpp"

#include <utility>

#include "detail/worker.hpp"

namespace weir::detail {

namespace {

// A call that hangs keeps its thread: there have to be more of them than of those that end by themselves.
constexpr unsigned most_threads = 64;

/// Never destroyed: its threads may be inside a call when the process ends.
offload_pool& abandonable_pool() {
  static offload_pool* const pool = [] {
    offload_pool::options how;
    how.most_threads = most_threads;
    how.name = "weir";
    return new offload_pool(std::move(how));
  }();
  return *pool;
}

}  // namespace

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
