#include "send_segments.hpp"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <new>

#include "../detail/ring_entry_impl.hpp"
#include "../detail/simulated_kernel.hpp"
#include "../detail/system_calls.hpp"

namespace weir::detail {

namespace {

constexpr std::size_t most_segments = 64;  // UDP_MAX_SEGMENTS of kernels before 6.9

/// Whether this kernel knows UDP_SEGMENT. One that does not would send all as one datagram.
bool kernel_can_split(int number) noexcept {
  static std::atomic<int> answer{-1};
  int known = answer.load(std::memory_order_relaxed);
  if (known < 0) {
    int value = 0;
    socklen_t size = sizeof value;
    known = ::getsockopt(number, IPPROTO_UDP, UDP_SEGMENT, &value, &size) == 0 ? 1 : 0;
    answer.store(known, std::memory_order_relaxed);
  }
  return known != 0;
}

}  // namespace

constinit std::atomic<bool> kernel_may_split{true};

bool send_segments_operation::ready(const await_context& context) noexcept {
  if (bytes_.empty()) return finish_empty(context);
  int refused = 0;
  if (is_without_peer()) refused = -EDESTADDRREQ;
  if (segment_ == 0) refused = -EINVAL;
  if (segment_ > longest_datagram) refused = -EMSGSIZE;
  if (refused != 0) return refuse(context, refused);
  grouped_ = bytes_.size() > segment_ && 2 * segment_ <= longest_datagram && target() &&
             !simulated_kernel::is_simulated(fd()) && kernel_may_split.load(std::memory_order_relaxed) &&
             kernel_can_split(fd());
  return try_io(context);
}

std::span<const std::byte> send_segments_operation::next(std::size_t from) const noexcept {
  const std::size_t segments = grouped_ ? std::min(most_segments, longest_datagram / segment_) : 1;
  const std::span<const std::byte> rest = bytes_.subspan(from);
  return rest.first(std::min(rest.size(), segments * segment_));
}

void* send_segments_operation::next_header(std::size_t from) noexcept {
  const std::span<const std::byte> part = next(from);
  static_assert(CMSG_SPACE(sizeof(std::uint16_t)) == sizeof control_);
  std::span<std::byte> control;
  if (part.size() > segment_) {
    control = control_;
    auto* const told = new (control_.data()) cmsghdr{};
    told->cmsg_len = CMSG_LEN(sizeof(std::uint16_t));
    told->cmsg_level = IPPROTO_UDP;
    told->cmsg_type = UDP_SEGMENT;
    const auto size = static_cast<std::uint16_t>(segment_);
    std::memcpy(CMSG_DATA(told), &size, sizeof size);
  }
  return header(part, control);
}

void send_segments_operation::prepare(ring_entry& entry) noexcept {
  io_uring_prep_sendmsg(raw(entry), fd(), static_cast<msghdr*>(next_header(done_)), MSG_NOSIGNAL);
}

int send_segments_operation::attempt() noexcept {
  std::size_t sent = 0;
  while (done_ + sent < bytes_.size()) {
    const ssize_t n = ::sendmsg(fd(), static_cast<msghdr*>(next_header(done_ + sent)), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) return sent != 0 ? static_cast<int>(sent) : -errno;
    sent += static_cast<std::size_t>(n);
  }
  return static_cast<int>(sent);
}

int send_segments_operation::simulate(simulated_kernel& kernel) noexcept { return simulate_send(kernel, next(done_)); }

bool send_segments_operation::goes_on(int result) noexcept {
  done_ += static_cast<std::size_t>(result);
  return done_ < bytes_.size();
}

// It does not split what has to be fragmented or cannot be given a checksum by the device; the errors differ.
bool send_segments_operation::try_again(int result) noexcept {
  const bool by_itself = result == -EINVAL || result == -EIO || result == -EMSGSIZE || result == -EOPNOTSUPP;
  if (!grouped_ || !by_itself) return false;
  grouped_ = false;
  return true;
}

}  // namespace weir::detail
