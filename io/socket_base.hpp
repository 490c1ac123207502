#pragma once

#include <string>
#include <utility>

#include "detail/descriptor.hpp"
#include "operations/poll.hpp"

namespace weir {

/// What all sockets, those that listen included, have in common. Move-only; the destructor closes.
class socket_base {
 public:
  /// Completes when there is something to take: bytes, a message, a connection, the end or an error, which the next
  /// operation then finds without waiting, unless another task is faster. Takes nothing. Any number of tasks may wait,
  /// beside those that take. Cancelled: stops. Selectable, unlike what takes.
  [[nodiscard]] auto readable() noexcept { return detail::readiness_operation::readable(socket_.get()); }

  /// Cancels what is in flight (it fails with std::errc::operation_canceled), tells the peer, closes. Idempotent.
  void close() noexcept { socket_.reset(); }
  [[nodiscard]] bool is_open() const noexcept { return static_cast<bool>(socket_); }

  /// What error sentences call it: "127.0.0.1:80", the peer of what is connected, otherwise what it is bound to.
  [[nodiscard]] std::string name() const { return socket_ ? socket_.get()->name() : "a closed socket"; }

  /// The sizes of the kernel's buffers. Connections that a listener accepts have the listener's.
  void set_receive_buffer(int bytes);
  void set_send_buffer(int bytes);

  /// The descriptor, lent: it stays owned by this object.
  [[nodiscard]] int native_handle() const noexcept { return socket_.number(); }
  /// The descriptor, given away. Nothing may be in flight.
  [[nodiscard]] int release() noexcept { return socket_.release(); }

 protected:
  socket_base() = default;
  explicit socket_base(detail::descriptor_handle socket) noexcept : socket_(std::move(socket)) {}
  socket_base(socket_base&&) = default;
  socket_base& operator=(socket_base&&) = default;
  ~socket_base() = default;

  [[nodiscard]] detail::descriptor* target() const noexcept { return socket_.get(); }
  [[nodiscard]] const detail::descriptor_handle& handle() const noexcept { return socket_; }

 private:
  detail::descriptor_handle socket_;
};

}  // namespace weir
