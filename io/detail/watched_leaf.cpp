#include "watched_leaf.hpp"

#include <poll.h>
#include <sys/epoll.h>

#include <cerrno>

#include "io_reactor.hpp"
#include "ring_entry_impl.hpp"

namespace weir::detail {

void watched_leaf::prepare(ring_entry& entry) noexcept {
  watched_ = true;
  io_uring_prep_poll_add(raw(entry), fd(), POLLIN | EPOLLEXCLUSIVE);
}

bool watched_leaf::intercept(int& result, bool ending) noexcept {
  if (!watched_ || (result < 0 && !ending)) return false;
  const int taken = io_reactor::here().attempt(*this);
  if (taken >= 0 || !ending)
    result = taken;
  else if (result >= 0)
    result = -ECANCELED;
  return false;
}

}  // namespace weir::detail
