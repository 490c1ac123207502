#include "send_zero_copy.hpp"

#include <sys/socket.h>

#include <atomic>
#include <cerrno>

#include "../detail/io_reactor.hpp"
#include "../detail/ring_entry_impl.hpp"

namespace weir::detail {

namespace {

constexpr unsigned report_usage = 1u << 3;  // Linux 6.2; Debian 12's headers do not know it

// Less than this is copied faster than its pages are looked up.
constexpr std::size_t least = 16'384;

// Until a kernel has refused it.
constinit std::atomic<bool> tells_usage{true};

}  // namespace

// In one request, whatever room there is: each has to be acknowledged by the peer before the memory is free. Kernels
// that lose count of a stopped MSG_WAITALL are older than this operation.
void send_zero_copy_operation::prepare(ring_entry& entry) noexcept {
  asked_ = form::plain;
  if (refused_ || rest().size() < least || !io_reactor::here().sends_zero_copy()) {
    send_all_leaf::prepare(entry);
    return;
  }
  const bool tells = tells_usage.load(std::memory_order_relaxed);
  asked_ = tells ? form::reporting : form::zero_copy;
  io_uring_prep_send_zc(raw(entry), fd(), rest().data(), transfer_size(rest().size()), MSG_NOSIGNAL | MSG_WAITALL,
                        tells ? report_usage : 0);
}

// MSG_ZEROCOPY is none: its notifications would have to be fetched one by one.
int send_zero_copy_operation::attempt() noexcept {
  asked_ = form::plain;
  return send_all_leaf::attempt();
}

/// Not by the peer, and a plain send may succeed: this kind of socket cannot, or no more memory may be locked.
bool send_zero_copy_operation::is_refusal(int result) const noexcept {
  return asked_ != form::plain &&
         (result == -EINVAL || result == -EOPNOTSUPP || result == -ENOMEM || result == -ENOBUFS || result == -EPERM);
}

bool send_zero_copy_operation::intercept(int& result, bool ending) noexcept {
  if (ending && is_refusal(result)) result = -ECANCELED;  // it would be tried again
  return false;
}

bool send_zero_copy_operation::try_again(int result) noexcept {
  if (!is_refusal(result)) return false;
  if (result == -EINVAL && asked_ == form::reporting) {
    tells_usage.store(false, std::memory_order_relaxed);
  } else {
    refused_ = true;
  }
  return true;
}

}  // namespace weir::detail
