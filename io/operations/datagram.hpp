#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <type_traits>

#include "../detail/io_operation.hpp"
#include "../detail/watched_leaf.hpp"
#include "../endpoint.hpp"
#include "../unix_endpoint.hpp"

namespace weir {

/// What receive() of sockets that carry messages completes with.
template <class Endpoint>
struct basic_datagram {
  /// How much of the buffer it has filled; 0 for an empty message.
  std::size_t size = 0;
  /// Its sender; of a unix socket unnamed if that is not bound, and for connections.
  Endpoint from;
  /// How long it was. More than `size`: the buffer was too small, and the rest is lost.
  std::size_t sent_size = 0;
  /// Not 0: several datagrams have come at once, of this size each, the last one perhaps shorter; `size` is that of
  /// all. Only where udp_socket::set_coalescing() allows it.
  std::size_t segment_size = 0;

  [[nodiscard]] bool is_truncated() const noexcept { return sent_size > size; }
};
using datagram = basic_datagram<endpoint>;
using unix_message = basic_datagram<unix_endpoint>;

namespace detail {

/// Of UDP over IPv4.
inline constexpr std::size_t longest_datagram = 65'507;

/// A message as the kernel reads and writes it: struct msghdr and struct iovec.
class message_header {
 public:
  /// Makes it anew, for `bytes`, an address and control data, or room for those. It has to stay where it is until the
  /// kernel is done with it. Returns the struct msghdr.
  void* begin(std::span<std::byte> bytes, std::span<std::byte> address, std::span<std::byte> control = {}) noexcept;
  /// The same to send.
  void* begin(std::span<const std::byte> bytes, std::span<std::byte> address,
              std::span<std::byte> control = {}) noexcept;

  /// How much of that room was used.
  [[nodiscard]] std::size_t address_size() const noexcept;
  /// The struct msghdr, as the kernel has left it.
  [[nodiscard]] void* get() noexcept { return message_.data(); }
  [[nodiscard]] const void* get() const noexcept { return message_.data(); }

 private:
  alignas(8) std::array<std::byte, 56> message_;
  alignas(8) std::array<std::byte, 16> vector_;
};

/// Takes one message. The kernel is asked before the ring: messages that lie there are taken one after the other, where
/// through the ring each takes a turn of the worker, and more CPU than a system call. A call that finds none costs a
/// fiftieth of a message. Without control data it is recvfrom, which takes less CPU than recvmsg.
template <class Endpoint>
class receive_message_leaf : public watched_leaf {
 protected:
  receive_message_leaf(descriptor* from, std::span<std::byte> into) noexcept : watched_leaf(from), into_(into) {}
  receive_message_leaf(const receive_message_leaf& other) noexcept : watched_leaf(other), into_(other.into_) {}
  ~receive_message_leaf() = default;

  bool try_io(const await_context& context) noexcept {
    try_first();
    return io_leaf::try_io(context);
  }
  [[nodiscard]] basic_datagram<Endpoint> received() const noexcept;

 private:
  int attempt() noexcept override;
  int simulate(simulated_kernel& kernel) noexcept override;
  [[nodiscard]] io_use use() const noexcept override { return io_use::receiving; }

  static constexpr bool may_coalesce = std::is_same_v<Endpoint, endpoint>;

  std::span<std::byte> into_;
  bool has_header_ = false;      // header_ is what the kernel was given
  std::uint32_t from_size_ = 0;  // otherwise: how much of from_ was used
  message_header header_;
  alignas(8) std::array<std::byte, Endpoint::native_size> from_;
  alignas(8) std::array<std::byte, may_coalesce ? 24 : 0> control_;  // for the size of those that came together
};
extern template class receive_message_leaf<endpoint>;
extern template class receive_message_leaf<unix_endpoint>;

template <class Endpoint>
class [[nodiscard]] receive_datagram_operation final
    : public io_awaitable<receive_datagram_operation<Endpoint>, basic_datagram<Endpoint>,
                          receive_message_leaf<Endpoint>> {
  using base =
      io_awaitable<receive_datagram_operation<Endpoint>, basic_datagram<Endpoint>, receive_message_leaf<Endpoint>>;

 public:
  static constexpr const char* verb = "receive from";
  receive_datagram_operation(descriptor* from, std::span<std::byte> into) noexcept : base(from, into) {}
  receive_datagram_operation(const receive_datagram_operation&) = default;
  ~receive_datagram_operation() = default;

  basic_datagram<Endpoint> value() const noexcept { return this->received(); }
};

/// Of a connection, which has an end.
class [[nodiscard]] receive_packet_operation final
    : public io_awaitable<receive_packet_operation, std::optional<unix_message>, receive_message_leaf<unix_endpoint>> {
 public:
  static constexpr const char* verb = "receive from";
  receive_packet_operation(descriptor* from, std::span<std::byte> into) noexcept : io_awaitable(from, into) {}
  receive_packet_operation(const receive_packet_operation&) = default;
  ~receive_packet_operation() = default;

  std::optional<unix_message> value() const noexcept;
};

/// What sends UDP datagrams: to whom the socket is connected if no peer is named.
class send_to_leaf : public io_leaf {
 protected:
  explicit send_to_leaf(descriptor* over) noexcept : io_leaf(over), connected_(true) {}
  send_to_leaf(descriptor* over, const endpoint& to) noexcept : io_leaf(over), to_(to), connected_(false) {}
  send_to_leaf(const send_to_leaf& other) noexcept : io_leaf(other), to_(other.to_), connected_(other.connected_) {}
  ~send_to_leaf() = default;

  /// No peer is named, and it is not meant for that to whom the socket is connected; which the kernel would take.
  [[nodiscard]] bool is_without_peer() const noexcept { return !connected_ && !to_; }
  /// By a system call before the ring: there is room, as a rule.
  bool try_io(const await_context& context) noexcept {
    try_first();
    return io_leaf::try_io(context);
  }
  /// From ready(): fails without asking the kernel, unless the task is stopped.
  bool refuse(const await_context& context, int error) noexcept;
  /// A struct msghdr for these bytes.
  void* header(std::span<const std::byte> bytes, std::span<std::byte> control = {}) noexcept;
  int simulate_send(simulated_kernel& kernel, std::span<const std::byte> bytes) noexcept;

  /// The peer's address, in address_; empty if it need not be named.
  std::span<std::byte> native_peer() noexcept;

 private:
  [[nodiscard]] readiness needs() const noexcept override { return readiness::output; }
  [[nodiscard]] io_use use() const noexcept override { return io_use::other; }
  [[nodiscard]] std::string object() const override { return connected_ ? io_leaf::object() : to_.to_string(); }

  endpoint to_;
  bool connected_;
  message_header header_;
  alignas(8) std::array<std::byte, endpoint::native_size> address_;
};

/// Sends one. It has no control data, so the system call is sendto, which takes less CPU than sendmsg.
class [[nodiscard]] send_datagram_operation final : public io_awaitable<send_datagram_operation, void, send_to_leaf> {
 public:
  static constexpr const char* verb = "send to";
  template <class... To>
  send_datagram_operation(descriptor* over, std::span<const std::byte> bytes, const To&... to) noexcept
      : io_awaitable(over, to...), bytes_(bytes) {}
  send_datagram_operation(const send_datagram_operation&) = default;
  ~send_datagram_operation() = default;

  bool ready(const await_context& context) noexcept;
  void value() const noexcept {}

 private:
  void prepare(ring_entry& entry) noexcept override;
  int attempt() noexcept override;
  int simulate(simulated_kernel& kernel) noexcept override;

  std::span<const std::byte> bytes_;
};

}  // namespace detail
}  // namespace weir
