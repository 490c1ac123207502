#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <span>
#include <string>

#include "datagram.hpp"

namespace weir::detail {

/// Whether kernels that can are given many datagrams at once (UDP_SEGMENT). For tests: what the others do must come to
/// the same.
extern std::atomic<bool> kernel_may_split;

/// Sends a buffer as datagrams of one size, the last of which may be shorter. In groups where the kernel splits them;
/// one by one where it does not, or not these: for some routes and sizes it refuses.
class [[nodiscard]] send_segments_operation final : public io_awaitable<send_segments_operation, void> {
 public:
  static constexpr const char* verb = "send to";
  send_segments_operation(descriptor* over, std::span<const std::byte> bytes, std::size_t segment) noexcept
      : io_awaitable(over), bytes_(bytes), segment_(segment), connected_(true) {}
  send_segments_operation(descriptor* over, std::span<const std::byte> bytes, std::size_t segment,
                          const endpoint& to) noexcept
      : io_awaitable(over), bytes_(bytes), segment_(segment), to_(to), connected_(false) {}
  send_segments_operation(const send_segments_operation& other) noexcept
      : io_awaitable(other),
        bytes_(other.bytes_),
        segment_(other.segment_),
        to_(other.to_),
        connected_(other.connected_) {}
  ~send_segments_operation() = default;

  bool ready(const await_context& context) noexcept;
  void value() const noexcept {}

 private:
  void prepare(ring_entry& entry) noexcept override;
  int attempt() noexcept override;
  int simulate(simulated_kernel& kernel) noexcept override;
  [[nodiscard]] readiness needs() const noexcept override { return readiness::output; }
  [[nodiscard]] io_use use() const noexcept override { return io_use::other; }
  bool goes_on(int result) noexcept override;
  [[nodiscard]] bool try_again(int result) noexcept override;
  [[nodiscard]] std::string object() const override { return connected_ ? io_leaf::object() : to_.to_string(); }
  /// Of the bytes behind `from` those that go next.
  [[nodiscard]] std::span<const std::byte> next(std::size_t from) const noexcept;
  void* header(std::span<const std::byte> part) noexcept;

  const std::span<const std::byte> bytes_;
  const std::size_t segment_;
  const endpoint to_;
  const bool connected_;
  bool grouped_ = false;
  std::size_t done_ = 0;
  message_header header_;
  alignas(8) std::array<std::byte, endpoint::native_size> address_;
  alignas(8) std::array<std::byte, 24> control_;
};

}  // namespace weir::detail
