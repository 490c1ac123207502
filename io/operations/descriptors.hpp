#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "../../runtime/detail/owned.hpp"
#include "../detail/direct_leaf.hpp"
#include "../detail/io_operation.hpp"
#include "../unique_descriptor.hpp"
#include "datagram.hpp"

namespace weir {

/// What receive_descriptors() of unix sockets completes with.
struct received_descriptors {
  /// How much of the buffer the bytes have filled that came with them; 0 at the end of a connection.
  std::size_t size = 0;
  /// How long a message was: more than `size` when the buffer was too small, and the rest is lost.
  std::size_t sent_size = 0;
  /// In the order in which they were sent; close-on-exec.
  std::vector<unique_descriptor> descriptors;
};

namespace detail {

/// Receives bytes and what descriptors came with them. Until it has delivered those they are its own.
class [[nodiscard]] receive_descriptors_operation final
    : public io_awaitable<receive_descriptors_operation, received_descriptors> {
 public:
  static constexpr const char* verb = "receive_descriptors from";
  /// `use`: reading from a stream, or receiving messages.
  receive_descriptors_operation(descriptor* from, io_use use, std::span<std::byte> into, std::size_t most) noexcept
      : io_awaitable(from), use_(use), into_(into), most_(most) {}
  receive_descriptors_operation(const receive_descriptors_operation& other) noexcept
      : io_awaitable(other), use_(other.use_), into_(other.into_), most_(other.most_) {}
  ~receive_descriptors_operation();

  bool ready(const await_context& context) noexcept;
  [[nodiscard]] failure failed() const;
  received_descriptors value();

 private:
  void prepare(ring_entry& entry) noexcept override;
  int attempt() noexcept override;
  [[nodiscard]] readiness needs() const noexcept override { return readiness::input; }
  [[nodiscard]] io_use use() const noexcept override { return use_; }
  bool goes_on(int result) noexcept override;
  void* header() noexcept;
  [[nodiscard]] int flags() const noexcept;

  const io_use use_;
  const std::span<std::byte> into_;
  const std::size_t most_;
  owned_array<int> numbers_;  // those that have come and are not delivered
  std::size_t count_ = 0;
  bool truncated_ = false;  // there were more
  owned_array<std::byte> control_;
  message_header header_;
};

/// Sends bytes, and descriptors with the first of them.
class [[nodiscard]] send_descriptors_operation final
    : public io_awaitable<send_descriptors_operation, void, direct_leaf> {
 public:
  static constexpr const char* verb = "send_descriptors to";
  /// `use`: writing to a stream, or another for messages.
  send_descriptors_operation(descriptor* to, io_use use, std::span<const std::byte> bytes,
                             std::span<const int> numbers) noexcept
      : io_awaitable(to, when_full::wait), use_(use), bytes_(bytes), numbers_(numbers) {}
  send_descriptors_operation(const send_descriptors_operation& other) noexcept
      : io_awaitable(other), use_(other.use_), bytes_(other.bytes_), numbers_(other.numbers_) {}
  ~send_descriptors_operation() = default;

  bool ready(const await_context& context) noexcept;
  [[nodiscard]] failure failed();
  void value() const noexcept {}

 private:
  int call() noexcept override;
  [[nodiscard]] io_use use() const noexcept override { return use_; }

  const io_use use_;
  const std::span<const std::byte> bytes_;
  const std::span<const int> numbers_;
  std::size_t done_ = 0;
  owned_array<std::byte> control_;
};

}  // namespace detail
}  // namespace weir
