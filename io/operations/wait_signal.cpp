#include "wait_signal.hpp"

#include <unistd.h>

#include "../detail/ring_entry_impl.hpp"
#include "../detail/signal_watch.hpp"
#include "../detail/simulated_kernel.hpp"
#include "../detail/system_calls.hpp"

namespace weir::detail {

wait_signal_operation::wait_signal_operation(descriptor* events, std::shared_ptr<signal_watch> watch) noexcept
    : io_awaitable(events), watch_(std::move(watch)) {}

void wait_signal_operation::prepare(ring_entry& entry) noexcept {
  io_uring_prep_read(raw(entry), fd(), &counter_, sizeof counter_, 0);
}

int wait_signal_operation::attempt() noexcept {
  return system_calls::outcome(::read(fd(), &counter_, sizeof counter_));
}

int wait_signal_operation::simulate(simulated_kernel& kernel) noexcept { return kernel.signals().take(fd()); }

bool wait_signal_operation::goes_on(int) noexcept {
  taken_ = watch_->take();
  return false;
}

}  // namespace weir::detail
