#include "wait_exit.hpp"

#include <poll.h>

#include <cerrno>
#include <utility>

namespace weir::detail {

wait_exit_operation::wait_exit_operation(std::shared_ptr<child_process> of) noexcept
    : io_awaitable(of ? of->target() : nullptr, POLLIN), child_(std::move(of)) {}

failure wait_exit_operation::failed() {
  if (result() >= 0) {
    // A child that has ended for the kernel and not for us is held back by who traces it.
    const int reaped = child_->reap();
    if (reaped <= 0) set_result(reaped == 0 ? -EAGAIN : reaped);
  }
  return result() >= 0 ? failure() : failure_of(verb);
}

}  // namespace weir::detail
