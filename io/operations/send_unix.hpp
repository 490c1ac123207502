#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "../detail/direct_leaf.hpp"
#include "../unix_endpoint.hpp"

namespace weir::detail {

/// Sends one message; to whom the socket is connected if no peer is named. Only a connected socket is told when its
/// peer has room again. The ring forgets what it has copied from the buffer when it has to wait for that, and sends an
/// empty message later (Linux 6.18).
class [[nodiscard]] send_unix_operation final : public io_awaitable<send_unix_operation, void, direct_leaf> {
 public:
  static constexpr const char* verb = "send to";
  send_unix_operation(descriptor* over, std::span<const std::byte> bytes) noexcept
      : io_awaitable(over, when_full::wait), bytes_(bytes), connected_(true) {}
  send_unix_operation(descriptor* over, std::span<const std::byte> bytes, const unix_endpoint& to) noexcept
      : io_awaitable(over, when_full::fail), bytes_(bytes), to_(to), connected_(false) {}
  send_unix_operation(const send_unix_operation&) = default;
  ~send_unix_operation() = default;

  [[nodiscard]] failure failed();
  void value() const noexcept {}

 private:
  int call() noexcept override;
  int call_simulated(simulated_kernel& kernel) noexcept override;
  [[nodiscard]] io_use use() const noexcept override { return io_use::other; }
  [[nodiscard]] std::string object() const override { return connected_ ? io_leaf::object() : to_.to_string(); }

  std::span<const std::byte> bytes_;
  unix_endpoint to_;
  bool connected_;
};

}  // namespace weir::detail
