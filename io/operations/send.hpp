#pragma once

#include <span>

#include "../detail/io_operation.hpp"

namespace weir::detail {

/// Writes what the socket takes now, at least one byte.
class [[nodiscard]] send_operation final : public io_awaitable<send_operation, std::size_t> {
 public:
  static constexpr const char* verb = "write";
  send_operation(descriptor* to, std::span<const std::byte> from) noexcept : io_awaitable(to), from_(from) {}
  send_operation(const send_operation&) = default;
  ~send_operation() = default;

  bool ready(const await_context& context) noexcept { return from_.empty() ? finish_empty(context) : try_io(context); }
  std::size_t value() noexcept { return static_cast<std::size_t>(result()); }

 private:
  void prepare(ring_entry& entry) noexcept override;
  int attempt() noexcept override;
  int simulate(simulated_kernel& kernel) noexcept override;
  [[nodiscard]] readiness needs() const noexcept override { return readiness::output; }
  [[nodiscard]] io_use use() const noexcept override { return io_use::writing; }
  bool goes_on(int result) noexcept override;
  [[nodiscard]] bool drained(int result) const noexcept override { return result < static_cast<int>(from_.size()); }

  std::span<const std::byte> from_;
};

/// What writes everything has in common.
class send_all_leaf : public io_leaf {
 protected:
  send_all_leaf(descriptor* to, std::span<const std::byte> from) noexcept : io_leaf(to), from_(from) {}
  send_all_leaf(const send_all_leaf&) = default;
  ~send_all_leaf() = default;

  [[nodiscard]] bool is_empty() const noexcept { return from_.empty(); }
  [[nodiscard]] std::span<const std::byte> rest() const noexcept;
  void prepare(ring_entry& entry) noexcept override;
  int attempt() noexcept override;

 private:
  int simulate(simulated_kernel& kernel) noexcept override;
  [[nodiscard]] readiness needs() const noexcept override { return readiness::output; }
  [[nodiscard]] io_use use() const noexcept override { return io_use::writing; }
  bool goes_on(int result) noexcept override;
  [[nodiscard]] bool drained(int result) const noexcept override {
    return result < static_cast<int>(from_.size() - done_);
  }

  std::span<const std::byte> from_;
  std::size_t done_ = 0;
};

class [[nodiscard]] send_all_operation final : public io_awaitable<send_all_operation, void, send_all_leaf> {
 public:
  static constexpr const char* verb = "write_all";
  send_all_operation(descriptor* to, std::span<const std::byte> from) noexcept : io_awaitable(to, from) {}
  send_all_operation(const send_all_operation&) = default;
  ~send_all_operation() = default;

  bool ready(const await_context& context) noexcept { return is_empty() ? finish_empty(context) : try_io(context); }
  void value() const noexcept {}
};

}  // namespace weir::detail
