#pragma once

#include "../detail/descriptor.hpp"
#include "../detail/io_operation.hpp"

namespace weir {

class tcp_stream;

namespace detail {

class [[nodiscard]] connect_operation final : public io_awaitable<connect_operation, tcp_stream> {
 public:
  static constexpr const char* verb = "connect";
  explicit connect_operation(const endpoint& peer) noexcept : io_awaitable(nullptr), peer_(peer) {}
  connect_operation(const connect_operation& other) noexcept : io_awaitable(other), peer_(other.peer_) {}
  ~connect_operation() = default;

  bool ready(const await_context& context) noexcept;
  tcp_stream value();

 private:
  void prepare(ring_entry& entry) noexcept override;
  int attempt() noexcept override;
  int simulate(simulated_kernel& kernel) noexcept override;
  [[nodiscard]] readiness needs() const noexcept override { return readiness::output; }
  [[nodiscard]] io_use use() const noexcept override { return io_use::other; }
  [[nodiscard]] std::string object() const override { return peer_.to_string(); }

  endpoint peer_;
  descriptor_handle socket_;  // closed with the operation unless it succeeds
  bool begun_ = false;
  alignas(8) std::array<std::byte, 28> address_{};
  std::uint32_t address_size_ = 0;
};

}  // namespace detail
}  // namespace weir
