#include "spawn.hpp"

namespace weir::detail {

spawned_base::~spawned_base() {
  if (exception_ && !observed_ && !failure_kept()) report_unobserved(exception_);
}

void spawned_base::drop_reference() noexcept {
  if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

std::exception_ptr spawned_base::harvest() noexcept {
  exception_ = take_outcome(references_.load(std::memory_order_relaxed) > 1);
  return exception_;
}

void spawned_base::harvest_stopped() noexcept {
  stopped_because_ = state().cause();
  if (stopped_because_ == cancellation_cause::none) stopped_because_ = cancellation_cause::requested;
}

void spawned_base::release() noexcept {
  leaf* joiner = joiner_.exchange(finished(), std::memory_order_acq_rel);
  // Anything but a registered leaf is a small number.
  if (joiner && joiner != withdrawn()) wake_joiner(*joiner);
  drop_reference();
}

void spawned_base::cancel_from_handle() noexcept {
  if (done() || cancel_posted_.exchange(true, std::memory_order_acq_rel)) return;
  add_reference();
  post(first_worker(*env().runtime), cancel_);
}

void spawned_base::cancel_message::deliver() noexcept {
  target_.state().request(cancellation_cause::requested);  // nobody is told when it has ended meanwhile
  target_.drop_reference();
}

}  // namespace weir::detail
