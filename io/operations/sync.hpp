#pragma once

#include "../detail/blocking_step.hpp"
#include "../detail/io_operation.hpp"

namespace weir::detail {

/// Waits until a file's data is on its device.
class [[nodiscard]] sync_operation final : public io_awaitable<sync_operation, void, blocking_io_leaf> {
 public:
  static constexpr const char* verb = "sync";
  sync_operation(descriptor* target, bool data_only) noexcept : io_awaitable(target), data_only_(data_only) {}
  sync_operation(const sync_operation&) = default;
  ~sync_operation() = default;

  void value() const noexcept {}

 private:
  void prepare(ring_entry& entry) noexcept override;
  int attempt() noexcept override;
  int simulate(simulated_kernel& kernel) noexcept override;
  [[nodiscard]] io_use use() const noexcept override { return io_use::other; }

  bool data_only_;
};

}  // namespace weir::detail
