#pragma once

#include "../detail/descriptor.hpp"
#include "../detail/io_operation.hpp"

namespace weir {

class tcp_stream;

namespace detail {

class [[nodiscard]] accept_operation final : public io_awaitable<accept_operation, tcp_stream> {
 public:
  static constexpr const char* verb = "accept";
  explicit accept_operation(descriptor* listener) noexcept : io_awaitable(listener) {}
  accept_operation(const accept_operation&) = default;
  ~accept_operation() = default;

  tcp_stream value();

 private:
  void prepare(ring_entry& entry) noexcept override;
  int attempt() noexcept override;
  int simulate(simulated_kernel& kernel) noexcept override;
  [[nodiscard]] readiness needs() const noexcept override { return readiness::input; }
  [[nodiscard]] io_use use() const noexcept override { return io_use::other; }
  [[nodiscard]] bool try_again(int result) noexcept override;

  alignas(8) std::array<std::byte, 28> peer_{};  // a sockaddr_in or sockaddr_in6, written by the kernel
  std::uint32_t peer_size_ = 0;
};

}  // namespace detail
}  // namespace weir
