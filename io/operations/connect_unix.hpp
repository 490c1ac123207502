#pragma once

#include <string>
#include <utility>

#include "../detail/descriptor.hpp"
#include "../detail/direct_leaf.hpp"
#include "../unique_descriptor.hpp"
#include "../unix_endpoint.hpp"

namespace weir::detail {

/// Connects a unix socket, as far as that is the same for all kinds. Where the listener's queue is full nothing tells
/// when there is room again: the ring would try it in vain, and then hold a kernel thread.
class connect_unix_leaf : public direct_leaf {
 public:
  bool ready(const await_context& context) noexcept;

 protected:
  connect_unix_leaf(int type, const unix_endpoint& peer) noexcept
      : direct_leaf(nullptr, when_full::fail), type_(type), peer_(peer) {}
  connect_unix_leaf(const connect_unix_leaf& other) noexcept
      : direct_leaf(other), type_(other.type_), peer_(other.peer_) {}
  ~connect_unix_leaf() = default;

  [[nodiscard]] failure failed_to(const char* verb);
  [[nodiscard]] descriptor_handle take();

 private:
  int call() noexcept override;
  int call_simulated(simulated_kernel&) noexcept override { return call(); }
  [[nodiscard]] io_use use() const noexcept override { return io_use::nothing; }
  [[nodiscard]] std::string object() const override { return peer_.to_string(); }

  const int type_;  // SOCK_STREAM, ...
  const unix_endpoint peer_;
  unique_descriptor socket_;  // closed with the operation unless it succeeds
};

template <class Socket>
class [[nodiscard]] connect_unix_operation final
    : public io_awaitable<connect_unix_operation<Socket>, Socket, connect_unix_leaf> {
  using base = io_awaitable<connect_unix_operation<Socket>, Socket, connect_unix_leaf>;

 public:
  static constexpr const char* verb = "connect";
  connect_unix_operation(int type, const unix_endpoint& peer) noexcept : base(type, peer) {}
  connect_unix_operation(const connect_unix_operation&) = default;
  ~connect_unix_operation() = default;

  bool ready(const await_context& context) noexcept { return connect_unix_leaf::ready(context); }
  [[nodiscard]] failure failed() { return this->failed_to(verb); }
  Socket value() { return Socket(this->take()); }
};

}  // namespace weir::detail
