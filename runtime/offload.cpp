#include "offload.hpp"

#include "detail/worker.hpp"

namespace weir::detail {

bool offload_core::run_inline(const await_context& context) noexcept {
  if (!context.env->runtime->simulation().enabled) return false;
  if (context.env->stop && context.env->stop->requested()) return false;
  bind(context);
  call();
  return true;
}

void offload_core::submit(const await_context& context) noexcept {
  runtime_ = context.env->runtime;
  if (!begin(context)) return;
  if (runtime_->offloads().submit(*this)) return;
  refuse();
  complete();
}

void offload_core::run() noexcept {
  if (withdrawn_.load(std::memory_order_acquire)) {
    complete_stopped();
    return;
  }
  call();
  complete();
}

void offload_core::request_stop(cancellation_cause) noexcept {
  withdrawn_.store(true, std::memory_order_release);  // for a request that comes before the job is queued
  if (runtime_->offloads().withdraw(*this)) complete_stopped();
}

}  // namespace weir::detail
