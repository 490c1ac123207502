#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <span>

#include "datagram.hpp"

namespace weir::detail {

/// Whether kernels that can are given many datagrams at once (UDP_SEGMENT). For tests: what the others do must come to
/// the same.
extern std::atomic<bool> kernel_may_split;

/// Sends a buffer as datagrams of one size, the last of which may be shorter. In groups where the kernel splits them;
/// one by one where it does not, or not these: for some routes and sizes it refuses.
class [[nodiscard]] send_segments_operation final : public io_awaitable<send_segments_operation, void, send_to_leaf> {
 public:
  static constexpr const char* verb = "send to";
  template <class... To>
  send_segments_operation(descriptor* over, std::span<const std::byte> bytes, std::size_t segment,
                          const To&... to) noexcept
      : io_awaitable(over, to...), bytes_(bytes), segment_(segment) {}
  send_segments_operation(const send_segments_operation& other) noexcept
      : io_awaitable(other), bytes_(other.bytes_), segment_(other.segment_) {}
  ~send_segments_operation() = default;

  bool ready(const await_context& context) noexcept;
  void value() const noexcept {}

 private:
  void prepare(ring_entry& entry) noexcept override;
  int attempt() noexcept override;
  int simulate(simulated_kernel& kernel) noexcept override;
  bool goes_on(int result) noexcept override;
  [[nodiscard]] bool try_again(int result) noexcept override;
  /// Of the bytes behind `from` those that go next.
  [[nodiscard]] std::span<const std::byte> next(std::size_t from) const noexcept;
  /// A struct msghdr for those.
  void* next_header(std::size_t from) noexcept;

  const std::span<const std::byte> bytes_;
  const std::size_t segment_;
  bool grouped_ = false;
  std::size_t done_ = 0;
  alignas(8) std::array<std::byte, 24> control_;
};

}  // namespace weir::detail
