#pragma once

#include <cstdint>
#include <memory>

#include "../detail/io_operation.hpp"

namespace weir::detail {

class signal_watch;

/// Takes one signal: a read of the set's eventfd, which counts those that have come, is the permit to take one.
class [[nodiscard]] wait_signal_operation final : public io_awaitable<wait_signal_operation, int> {
 public:
  static constexpr const char* verb = "wait for";
  wait_signal_operation(descriptor* events, std::shared_ptr<signal_watch> watch) noexcept;
  wait_signal_operation(wait_signal_operation&&) noexcept = default;
  ~wait_signal_operation() = default;

  int value() const noexcept { return taken_; }

 private:
  void prepare(ring_entry& entry) noexcept override;
  int attempt() noexcept override;
  int simulate(simulated_kernel& kernel) noexcept override;
  [[nodiscard]] readiness needs() const noexcept override { return readiness::input; }
  [[nodiscard]] io_use use() const noexcept override { return io_use::other; }
  bool goes_on(int result) noexcept override;

  std::shared_ptr<signal_watch> watch_;
  std::uint64_t counter_ = 0;
  int taken_ = 0;
};

}  // namespace weir::detail
