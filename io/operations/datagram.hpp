#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "../detail/io_operation.hpp"
#include "../endpoint.hpp"

namespace weir {

/// What udp_socket::receive() completes with.
struct datagram {
  /// How much of the buffer it has filled; 0 for an empty datagram.
  std::size_t size = 0;
  /// Its sender.
  endpoint from;
  /// How long it was. More than `size`: the buffer was too small, and the rest is lost.
  std::size_t sent_size = 0;

  [[nodiscard]] bool is_truncated() const noexcept { return sent_size > size; }
};

namespace detail {

/// A message to or from an address, as the kernel reads and writes it: struct msghdr, struct iovec and an address.
class message_header {
 public:
  /// Makes it anew, for `bytes`; it has to stay where it is until the kernel is done with it. Returns the struct
  /// msghdr.
  void* begin(std::span<std::byte> bytes) noexcept;
  void* begin(std::span<const std::byte> bytes, const endpoint& to) noexcept;
  /// Who has sent it: none if nobody is named.
  [[nodiscard]] endpoint peer() const noexcept;

 private:
  alignas(8) std::array<std::byte, 56> message_;
  alignas(8) std::array<std::byte, 16> vector_;
  alignas(8) std::array<std::byte, 28> peer_;  // a sockaddr_in or sockaddr_in6
};

/// Takes one datagram.
class [[nodiscard]] receive_datagram_operation final : public io_awaitable<receive_datagram_operation, datagram> {
 public:
  static constexpr const char* verb = "receive from";
  receive_datagram_operation(descriptor* from, std::span<std::byte> into) noexcept : io_awaitable(from), into_(into) {}
  receive_datagram_operation(const receive_datagram_operation& other) noexcept
      : io_awaitable(other), into_(other.into_) {}
  ~receive_datagram_operation() = default;

  datagram value() const noexcept;

 private:
  void prepare(ring_entry& entry) noexcept override;
  int attempt() noexcept override;
  [[nodiscard]] readiness needs() const noexcept override { return readiness::input; }
  [[nodiscard]] io_use use() const noexcept override { return io_use::receiving; }

  std::span<std::byte> into_;
  message_header header_;
};

/// Sends one datagram; to whom the socket is connected if no peer is named.
class [[nodiscard]] send_datagram_operation final : public io_awaitable<send_datagram_operation, void> {
 public:
  static constexpr const char* verb = "send to";
  send_datagram_operation(descriptor* over, std::span<const std::byte> bytes) noexcept
      : io_awaitable(over), bytes_(bytes), connected_(true) {}
  send_datagram_operation(descriptor* over, std::span<const std::byte> bytes, const endpoint& to) noexcept
      : io_awaitable(over), bytes_(bytes), to_(to), connected_(false) {}
  send_datagram_operation(const send_datagram_operation& other) noexcept
      : io_awaitable(other), bytes_(other.bytes_), to_(other.to_), connected_(other.connected_) {}
  ~send_datagram_operation() = default;

  bool ready(const await_context& context) noexcept;
  void value() const noexcept {}

 private:
  void prepare(ring_entry& entry) noexcept override;
  int attempt() noexcept override;
  [[nodiscard]] readiness needs() const noexcept override { return readiness::output; }
  [[nodiscard]] io_use use() const noexcept override { return io_use::other; }
  [[nodiscard]] std::string object() const override { return connected_ ? io_leaf::object() : to_.to_string(); }

  std::span<const std::byte> bytes_;
  endpoint to_;
  bool connected_;
  message_header header_;
};

}  // namespace detail
}  // namespace weir
