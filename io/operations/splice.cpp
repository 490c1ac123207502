#include "splice.hpp"

#include <fcntl.h>
#include <poll.h>

#include <cerrno>

#include "../detail/ring_entry_impl.hpp"
#include "../detail/system_calls.hpp"

namespace weir::detail {

void splice_leaf::prepare(ring_entry& entry) noexcept {
  do {
    answer_ = attempt();
  } while (answer_ == -EINTR);
  if (has_to_wait()) {
    io_uring_prep_poll_add(raw(entry), fd(), way_ == readiness::input ? POLLIN : POLLOUT);
  } else {
    io_uring_prep_nop(raw(entry));
  }
}

int splice_leaf::attempt() noexcept {
  const int from = way_ == readiness::input ? fd() : pipe_;
  const int to = way_ == readiness::input ? pipe_ : fd();
  answer_ = system_calls::outcome(::splice(from, nullptr, to, nullptr, most_, SPLICE_F_MOVE | SPLICE_F_NONBLOCK));
  return answer_;
}

bool splice_leaf::has_to_wait() const noexcept { return answer_ == -EAGAIN; }

// The ring says how its empty request went; what counts is what the call has moved.
bool splice_leaf::intercept(int& result, bool /*ending*/) noexcept {
  if (result >= 0 && !has_to_wait()) result = answer_;
  return false;
}

bool splice_leaf::goes_on(int result) noexcept {
  if (has_to_wait()) return true;
  if (way_ == readiness::input) {
    target()->set_bytes_read(static_cast<std::size_t>(result));
  } else {
    target()->set_bytes_written(static_cast<std::size_t>(result));
  }
  return false;
}

}  // namespace weir::detail
