#pragma once

#include <span>

#include "../detail/io_operation.hpp"

namespace weir::detail {

/// Reads what is there, at least one byte; 0 at the end of the stream.
class [[nodiscard]] receive_operation final : public io_awaitable<receive_operation, std::size_t> {
 public:
  static constexpr const char* verb = "read";
  receive_operation(descriptor* from, std::span<std::byte> into) noexcept : io_awaitable(from), into_(into) {}
  receive_operation(const receive_operation&) = default;
  ~receive_operation() = default;

  bool ready(const await_context& context) noexcept { return into_.empty() ? finish_empty(context) : try_io(context); }
  std::size_t value() noexcept { return static_cast<std::size_t>(result()); }

 private:
  void prepare(ring_entry& entry) noexcept override;
  int attempt() noexcept override;
  int simulate(simulated_kernel& kernel) noexcept override;
  [[nodiscard]] readiness needs() const noexcept override { return readiness::input; }
  [[nodiscard]] io_use use() const noexcept override { return io_use::reading; }
  bool goes_on(int result) noexcept override;
  [[nodiscard]] bool drained(int result) const noexcept override {
    return result < static_cast<int>(into_.size()) && target()->short_means_drained();
  }

  std::span<std::byte> into_;
};

/// Fills the whole buffer.
class [[nodiscard]] receive_exactly_operation final : public io_awaitable<receive_exactly_operation, void> {
 public:
  static constexpr const char* verb = "read_exactly";
  receive_exactly_operation(descriptor* from, std::span<std::byte> into) noexcept : io_awaitable(from), into_(into) {}
  receive_exactly_operation(const receive_exactly_operation&) = default;
  ~receive_exactly_operation() = default;

  bool ready(const await_context& context) noexcept { return into_.empty() ? finish_empty(context) : try_io(context); }
  void value() const noexcept {}
  [[nodiscard]] failure failed() const;

 private:
  void prepare(ring_entry& entry) noexcept override;
  int attempt() noexcept override;
  int simulate(simulated_kernel& kernel) noexcept override;
  [[nodiscard]] readiness needs() const noexcept override { return readiness::input; }
  [[nodiscard]] io_use use() const noexcept override { return io_use::reading; }
  bool goes_on(int result) noexcept override;
  [[nodiscard]] bool drained(int result) const noexcept override {
    return result < static_cast<int>(into_.size() - done_) && target()->short_means_drained();
  }

  std::span<std::byte> into_;
  std::size_t done_ = 0;
};

}  // namespace weir::detail
