#include "spawn.hpp"

#include "detail/worker.hpp"

namespace weir::detail {

spawned_base::~spawned_base() {
  if (exception_ && !observed_ && !failure_kept()) runtime_core::report_to(kept_on_error(), exception_);
}

void spawned_base::drop_reference() noexcept {
  if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

std::exception_ptr spawned_base::harvest() noexcept {
  exception_ = take_outcome(references_.load(std::memory_order_relaxed) > 1);
  // The last handle may be dropped anywhere, when the runtime has gone.
  if (exception_) keep_on_error(env().runtime->options().on_error);
  drop_call();
  return exception_;
}

void spawned_base::harvest_stopped() noexcept {
  drop_call();
  stopped_because_ = state().cause();
  if (stopped_because_ == cancellation_cause::none) stopped_because_ = cancellation_cause::requested;
}

void spawned_base::release() noexcept {
  leaf* joiner = joiner_.exchange(finished(), std::memory_order_acq_rel);
  // Anything but a registered leaf is a small number.
  if (joiner && joiner != withdrawn()) joiner->complete_next();
  drop_reference();
}

void spawned_base::cancel_from_handle() noexcept {
  if (done()) return;
  runtime_core& runtime = *env().runtime;
  if (is_shared(runtime) || on_worker_of(runtime)) {
    // The record outlives the call by the handle's reference, and what is told outlives it by itself.
    state().request(cancellation_cause::requested);
    return;
  }
  add_reference();
  if (!request_outside()) drop_reference();
}

}  // namespace weir::detail
