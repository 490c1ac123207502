#include "poll.hpp"

#include <fmt/format.h>
#include <poll.h>

#include "../detail/ring_entry_impl.hpp"
#include "../detail/simulated_kernel.hpp"

namespace weir::detail {

readiness_operation readiness_operation::readable(descriptor* target) noexcept {
  return readiness_operation(target, POLLIN);
}
readiness_operation readiness_operation::writable(descriptor* target) noexcept {
  return readiness_operation(target, POLLOUT);
}

void poll_leaf::prepare(ring_entry& entry) noexcept { io_uring_prep_poll_add(raw(entry), number(), watch_.events); }

int poll_leaf::attempt() noexcept {
  pollfd entry{.fd = number(), .events = static_cast<short>(watch_.events), .revents = 0};
  if (entry.fd < 0) return -EBADF;  // poll(2) would pass it over
  const int count = ::poll(&entry, 1, 0);
  if (count < 0) return -errno;
  if (count == 0) return -EAGAIN;
  return (entry.revents & POLLNVAL) != 0 ? -EBADF : static_cast<unsigned short>(entry.revents);
}

int poll_leaf::simulate(simulated_kernel& kernel) noexcept {
  // The real descriptors have a clock of their own.
  if (!simulated_kernel::is_simulated(number())) return number() < 0 ? -EBADF : -ENOTSUP;
  return kernel.poll(number(), watch_.events);
}

readiness poll_leaf::needs() const noexcept {
  if (foreign_) return readiness::foreign;
  return watch_.events == POLLOUT ? readiness::output : readiness::input;
}

std::string poll_leaf::object() const { return foreign_ ? fmt::format("fd {}", watch_.number) : io_leaf::object(); }

bool poll_leaf::try_commit() noexcept {
  int attempted = 0;
  if (simulated_kernel* const kernel = simulated_kernel::here()) {
    attempted = simulate(*kernel);
  } else {
    do {
      attempted = attempt();
    } while (attempted == -EINTR);
  }
  if (attempted == -EAGAIN) return false;
  set_result(attempted);
  return true;
}

bool poll_leaf::arm_case(case_link link) noexcept {
  in_select_ = link;
  start_as_case();
  return true;
}

void poll_leaf::end_as_case() noexcept {
  selection& in = *in_select_.in;
  if (in_select_.claim()) in.fulfil(false);
  in.case_ended();
}

}  // namespace weir::detail
