#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "../detail/descriptor.hpp"
#include "../detail/io_operation.hpp"
#include "../detail/watched_leaf.hpp"
#include "../unique_descriptor.hpp"

namespace weir {

class tcp_stream;

namespace detail {

/// Takes a connection from a listener's queue. What becomes of its number is for those to say that derive from it.
class accept_leaf : public watched_leaf {
 protected:
  explicit accept_leaf(descriptor* listener) noexcept : watched_leaf(listener) {}
  accept_leaf(const accept_leaf&) = default;
  ~accept_leaf() = default;

  /// Whose it is, for those that listen on the network.
  [[nodiscard]] endpoint peer() const noexcept;

  /// In a burst the kernel is asked before the ring, which would take a turn of the worker for each connection.
  bool try_io(const await_context& context) noexcept {
    if (target() && target()->burst().likely()) try_first();
    return io_leaf::try_io(context);
  }

 private:
  int attempt() noexcept override;
  int simulate(simulated_kernel& kernel) noexcept override;
  [[nodiscard]] io_use use() const noexcept override { return io_use::other; }
  bool goes_on(int result) noexcept override;
  [[nodiscard]] bool try_again(int result) noexcept override;

  alignas(
      8) std::array<std::byte, endpoint::native_size> peer_{};  // a sockaddr_in or sockaddr_in6, written by the kernel
  std::uint32_t peer_size_ = 0;
};

class [[nodiscard]] accept_operation final : public io_awaitable<accept_operation, tcp_stream, accept_leaf> {
 public:
  static constexpr const char* verb = "accept";
  explicit accept_operation(descriptor* listener) noexcept : io_awaitable(listener) {}
  accept_operation(const accept_operation&) = default;
  ~accept_operation() = default;

  tcp_stream value();
};

/// Of a unix socket, as a `Socket` that is called after the listener.
template <class Socket>
class [[nodiscard]] accept_unix_operation final
    : public io_awaitable<accept_unix_operation<Socket>, Socket, accept_leaf> {
 public:
  static constexpr const char* verb = "accept";
  explicit accept_unix_operation(descriptor* listener) noexcept
      : io_awaitable<accept_unix_operation, Socket, accept_leaf>(listener) {}
  accept_unix_operation(const accept_unix_operation&) = default;
  ~accept_unix_operation() = default;

  Socket value() {
    unique_descriptor accepted(this->result());
    std::string name = this->object();
    return Socket(descriptor_handle(descriptor::adopt(accepted.release(), descriptor::kind::socket, std::move(name))));
  }
};

}  // namespace detail
}  // namespace weir
