#include "datagram.hpp"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "../detail/ring_entry_impl.hpp"
#include "../detail/simulated_kernel.hpp"
#include "../detail/system_calls.hpp"

namespace weir::detail {

namespace {

sockaddr* address_at(std::byte* native) noexcept { return reinterpret_cast<sockaddr*>(native); }

msghdr* message_of(void* header) noexcept { return static_cast<msghdr*>(header); }

/// What the kernel says of those that it has put together (UDP_GRO); 0 of one alone.
std::size_t segment_size_in(const void* header) noexcept {
  const msghdr& message = *std::launder(static_cast<const msghdr*>(header));
  const cmsghdr* const told = CMSG_FIRSTHDR(&message);
  if (!told || told->cmsg_level != IPPROTO_UDP || told->cmsg_type != UDP_GRO) return 0;
  int size = 0;
  std::memcpy(&size, CMSG_DATA(told), sizeof size);
  return static_cast<std::size_t>(size);
}

}  // namespace

void* message_header::begin(std::span<std::byte> bytes, std::span<std::byte> address,
                            std::span<std::byte> control) noexcept {
  static_assert(sizeof(msghdr) == sizeof message_ && sizeof(iovec) == sizeof vector_ && alignof(msghdr) == 8);
  auto* const vector = new (vector_.data()) iovec{.iov_base = bytes.data(), .iov_len = bytes.size()};
  auto* const message = new (message_.data()) msghdr{};
  message->msg_name = address.empty() ? nullptr : address.data();
  message->msg_namelen = static_cast<socklen_t>(address.size());
  message->msg_iov = vector;
  message->msg_iovlen = 1;
  message->msg_control = control.empty() ? nullptr : control.data();
  message->msg_controllen = control.size();
  return message;
}

void* message_header::begin(std::span<const std::byte> bytes, std::span<std::byte> address,
                            std::span<std::byte> control) noexcept {
  // sendmsg does not write to them.
  return begin(std::span(const_cast<std::byte*>(bytes.data()), bytes.size()), address, control);
}

std::size_t message_header::address_size() const noexcept {
  return std::launder(reinterpret_cast<const msghdr*>(message_.data()))->msg_namelen;
}

// ---- receive. MSG_TRUNC: the result is the message's length, also where the buffer is shorter.

template <class Endpoint>
int receive_message_leaf<Endpoint>::attempt() noexcept {
  constexpr int flags = MSG_TRUNC | MSG_DONTWAIT;
  has_header_ = may_coalesce && target()->coalesces();
  if (has_header_) {
    return system_calls::outcome(::recvmsg(fd(), message_of(header_.begin(into_, from_, control_)), flags));
  }
  from_size_ = static_cast<std::uint32_t>(from_.size());
  return system_calls::outcome(
      ::recvfrom(fd(), into_.data(), into_.size(), flags, address_at(from_.data()), &from_size_));
}

template <class Endpoint>
int receive_message_leaf<Endpoint>::simulate(simulated_kernel& kernel) noexcept {
  Endpoint from;
  const int size = kernel.ask<simulated_socket_of<Endpoint>>(
      fd(), [&](auto& socket) { return socket.receive_message(into_, from); });
  from_size_ = static_cast<std::uint32_t>(from.to_native(from_.data()));
  return size;
}

template <class Endpoint>
basic_datagram<Endpoint> receive_message_leaf<Endpoint>::received() const noexcept {
  const auto size = static_cast<std::size_t>(result());
  const std::size_t from_size = has_header_ ? header_.address_size() : from_size_;
  return {.size = std::min(size, into_.size()),
          .from = Endpoint::from_native(from_.data(), std::min(from_size, from_.size())),
          .sent_size = size,
          .segment_size = may_coalesce && has_header_ ? segment_size_in(header_.get()) : 0};
}

static_assert(sizeof(sockaddr_in6) == endpoint::native_size && sizeof(sockaddr_un) == unix_endpoint::native_size);
template class receive_message_leaf<endpoint>;
template class receive_message_leaf<unix_endpoint>;

// ---- send

bool send_to_leaf::refuse(const await_context& context, int error) noexcept {
  if (context.env->is_stopped()) return false;
  set_result(error);
  return true;
}

void* send_to_leaf::header(std::span<const std::byte> bytes, std::span<std::byte> control) noexcept {
  return header_.begin(bytes, native_peer(), control);
}

std::span<std::byte> send_to_leaf::native_peer() noexcept {
  return std::span(address_).first(connected_ ? 0 : to_.to_native(address_.data()));
}

int send_to_leaf::simulate_send(simulated_kernel& kernel, std::span<const std::byte> bytes) noexcept {
  return kernel.ask<simulated_socket_of<endpoint>>(
      fd(), [&](auto& socket) { return socket.send_message(bytes, connected_ ? nullptr : &to_); });
}

bool send_datagram_operation::ready(const await_context& context) noexcept {
  return is_without_peer() ? refuse(context, -EDESTADDRREQ) : try_io(context);
}

void send_datagram_operation::prepare(ring_entry& entry) noexcept {
  io_uring_prep_sendmsg(raw(entry), fd(), message_of(header(bytes_)), MSG_NOSIGNAL);
}

int send_datagram_operation::attempt() noexcept {
  const std::span<std::byte> to = native_peer();
  const sockaddr* const address = to.empty() ? nullptr : address_at(to.data());
  return system_calls::outcome(::sendto(fd(), bytes_.data(), bytes_.size(), MSG_NOSIGNAL | MSG_DONTWAIT, address,
                                        static_cast<socklen_t>(to.size())));
}

int send_datagram_operation::simulate(simulated_kernel& kernel) noexcept { return simulate_send(kernel, bytes_); }

std::optional<unix_message> receive_packet_operation::value() const noexcept {
  if (result() == 0) return std::nullopt;
  return received();
}

}  // namespace weir::detail
