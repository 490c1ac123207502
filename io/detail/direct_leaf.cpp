#include "direct_leaf.hpp"

#include <poll.h>

#include "ring_entry_impl.hpp"

namespace weir::detail {

void direct_leaf::ask_kernel() noexcept {
  do {
    answer_ = call();
  } while (answer_ == -EINTR);
}

void direct_leaf::prepare(ring_entry& entry) noexcept {
  ask_kernel();
  if (has_to_wait()) {
    io_uring_prep_poll_add(raw(entry), fd(), POLLOUT);
  } else {
    io_uring_prep_nop(raw(entry));
  }
}

int direct_leaf::attempt() noexcept {
  ask_kernel();
  return has_to_wait() ? -EAGAIN : 0;
}

int direct_leaf::simulate(simulated_kernel& kernel) noexcept {
  answer_ = call_simulated(kernel);
  return has_to_wait() ? -EAGAIN : 0;
}

bool direct_leaf::has_failed() noexcept {
  if (result() >= 0) set_result(answer_);
  return result() < 0;
}

}  // namespace weir::detail
