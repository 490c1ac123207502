#include "offload.hpp"

#include "detail/worker.hpp"

namespace weir::detail {

void offload_core::submit(const await_context& context) noexcept {
  runtime_ = context.env->runtime;
  if (runtime_->inherited()) refuse_in_forked_child();
  if (!begin(context)) return;
  if (runtime_->simulation().enabled) {
    set_current_environment(nullptr);  // as on a thread of the pool
    call();
    complete();
    return;
  }
  if (runtime_->offloads().submit(*this)) return;
  if (withdrawn_.load(std::memory_order_acquire)) {
    complete_stopped();
    return;
  }
  refuse();
  complete();
}

void offload_core::run() noexcept {
  call();
  complete();
}

void offload_core::request_stop(cancellation_cause) noexcept {
  withdrawn_.store(true, std::memory_order_release);  // for a request that comes before the job is submitted
  if (runtime_->offloads().withdraw(*this)) complete_stopped();
}

}  // namespace weir::detail
