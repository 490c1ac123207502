#include "blocking_step.hpp"

#include "../../runtime/detail/worker.hpp"

namespace weir::detail {

bool blocking_step::begin(blocking_host& host) noexcept {
  host_ = &host;
  owner_ = current_worker();
  return owner_->core().offloads().submit(*this);
}

bool blocking_step::withdraw() noexcept { return owner_->core().offloads().withdraw(*this); }

void blocking_step::run() noexcept {
  do {
    result_ = op_.attempt();
  } while (result_ == -EINTR);
  // The operation is alive until this message was delivered.
  post(*owner_, *this);
}

void blocking_step::deliver() noexcept { host_->came_back(op_, result_); }

}  // namespace weir::detail
