#include "ring_access.hpp"

#include "error_text.hpp"

#include <fmt/format.h>

#include <liburing.h>
#include <cerrno>

namespace bench {
namespace {

// Negative errno of the first step that fails. A filter may allow the set-up and deny the entry.
int try_ring(unsigned flags) {
  io_uring ring{};
  const int result = io_uring_queue_init(8, &ring, flags);
  if (result < 0) return result;
  io_uring_sqe* sqe = io_uring_get_sqe(&ring);
  io_uring_prep_nop(sqe);
  int submitted = io_uring_submit_and_wait(&ring, 1);
  if (submitted == 1) submitted = 0;
  io_uring_queue_exit(&ring);
  return submitted;
}

const char* reason(int error) {
  switch (error) {
    case EPERM:
    case EACCES:
      return " (a seccomp filter, as in default containers, or kernel.io_uring_disabled)";
    case ENOSYS:
      return " (the kernel was built without it, or a filter hides it)";
    case ENOMEM:
      return " (see RLIMIT_MEMLOCK)";
    default:
      return "";
  }
}

ring_access try_all() {
  if (const int plain = try_ring(0); plain < 0)
    return {.why_not = fmt::format("io_uring is refused here: {}{}", error_text(-plain), reason(-plain))};
  if (const int deferred = try_ring(IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN); deferred < 0)
    return {.allowed = true, .why_not = "the raw io_uring server needs deferred task work (Linux 6.1)"};
  return {.allowed = true, .deferred = true, .why_not = {}};
}

}  // namespace

const ring_access& probe_ring() {
  static const ring_access access = try_all();
  return access;
}

}  // namespace bench
