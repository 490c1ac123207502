#include "datagram.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <new>

#include "../detail/ring_entry_impl.hpp"

namespace weir::detail {

namespace {

msghdr* message_of(void* header) noexcept { return static_cast<msghdr*>(header); }

}  // namespace

void* message_header::begin(std::span<std::byte> bytes) noexcept {
  static_assert(sizeof(msghdr) == sizeof message_ && sizeof(iovec) == sizeof vector_);
  static_assert(sizeof(sockaddr_in6) == sizeof peer_ && alignof(msghdr) == 8 && alignof(sockaddr_in6) <= 8);
  auto* const vector = new (vector_.data()) iovec{.iov_base = bytes.data(), .iov_len = bytes.size()};
  auto* const message = new (message_.data()) msghdr{};
  message->msg_name = peer_.data();
  message->msg_namelen = static_cast<socklen_t>(peer_.size());
  message->msg_iov = vector;
  message->msg_iovlen = 1;
  return message;
}

void* message_header::begin(std::span<const std::byte> bytes, const endpoint& to) noexcept {
  // sendmsg does not write to them.
  msghdr* const message = message_of(begin({const_cast<std::byte*>(bytes.data()), bytes.size()}));
  message->msg_namelen = to ? static_cast<socklen_t>(to.to_native(peer_.data())) : 0;
  if (!to) message->msg_name = nullptr;
  return message;
}

endpoint message_header::peer() const noexcept {
  const auto* const message = std::launder(reinterpret_cast<const msghdr*>(message_.data()));
  return endpoint::from_native(peer_.data(), std::min<std::size_t>(message->msg_namelen, peer_.size()));
}

// ---- receive. MSG_TRUNC: the result is the datagram's length, also where the buffer is shorter.

void receive_datagram_operation::prepare(ring_entry& entry) noexcept {
  io_uring_prep_recvmsg(raw(entry), fd(), message_of(header_.begin(into_)), MSG_TRUNC);
}

int receive_datagram_operation::attempt() noexcept {
  const ssize_t n = ::recvmsg(fd(), message_of(header_.begin(into_)), MSG_TRUNC | MSG_DONTWAIT);
  return n < 0 ? -errno : static_cast<int>(n);
}

datagram receive_datagram_operation::value() const noexcept {
  const auto size = static_cast<std::size_t>(result());
  return {.size = std::min(size, into_.size()), .from = header_.peer(), .sent_size = size};
}

// ---- send

bool send_datagram_operation::ready(const await_context& context) noexcept {
  if (!connected_ && !to_) {  // the kernel would send to whom the socket is connected
    if (context.env->stop && context.env->stop->requested()) return false;
    set_result(-EDESTADDRREQ);
    return true;
  }
  return try_io(context);
}

void send_datagram_operation::prepare(ring_entry& entry) noexcept {
  io_uring_prep_sendmsg(raw(entry), fd(), message_of(header_.begin(bytes_, to_)), MSG_NOSIGNAL);
}

int send_datagram_operation::attempt() noexcept {
  const ssize_t n = ::sendmsg(fd(), message_of(header_.begin(bytes_, to_)), MSG_NOSIGNAL | MSG_DONTWAIT);
  return n < 0 ? -errno : static_cast<int>(n);
}

}  // namespace weir::detail
