#pragma once

#include <cerrno>
#include <cstdint>

#include "io_operation.hpp"

namespace weir::detail {

/// What to do about EAGAIN.
enum class when_full : std::uint8_t {
  wait,  ///< until the descriptor is writable
  fail,  ///< the kernel has no readiness to wait for
};

/// An operation that makes its system call itself when its turn has come, because the ring would do it wrong. The ring
/// waits for it, or carries an empty request in its place.
class direct_leaf : public io_leaf {
 protected:
  direct_leaf(descriptor* target, when_full then) noexcept : io_leaf(target), then_(then) {}
  direct_leaf(const direct_leaf&) = default;
  ~direct_leaf() = default;

  /// The system call, without waiting: its result or -errno.
  virtual int call() noexcept = 0;
  /// The same in a simulation, whose kernel it has.
  virtual int call_simulated(simulated_kernel&) noexcept { return -ENOTSUP; }
  /// What failed() begins with: the call's answer becomes the operation's.
  [[nodiscard]] bool has_failed() noexcept;

 private:
  void prepare(ring_entry& entry) noexcept override;
  int attempt() noexcept override;
  int simulate(simulated_kernel& kernel) noexcept override;
  bool goes_on(int) noexcept override { return has_to_wait(); }
  [[nodiscard]] readiness needs() const noexcept override { return readiness::output; }
  [[nodiscard]] bool has_to_wait() const noexcept { return then_ == when_full::wait && answer_ == -EAGAIN; }
  void ask_kernel() noexcept;

  const when_full then_;
  int answer_ = 0;
};

}  // namespace weir::detail
