#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "io_operation.hpp"
#include "io_reactor.hpp"
#include "simulated_kernel.hpp"

namespace weir::detail {

/// The reactor of a simulation: operations go to a kernel in memory, and the seed decides which of those that could
/// complete do so now. Every freedom that real kernels and reactors have is used: an operation may complete at once or
/// only through a submission; completions come in any order; a cancellation may come too late.
///
/// Operations on real descriptors are refused with ENOTSUP, because their completions would come at the kernel's time.
class simulated_reactor final : public io_reactor {
 public:
  explicit simulated_reactor(const reactor_options& options);

  [[nodiscard]] simulated_kernel& kernel() noexcept { return kernel_; }

  [[nodiscard]] bool optimistic() const noexcept override { return true; }
  bool try_now(io_operation& operation, int& result) noexcept override;
  void submit(io_operation& operation) noexcept override;
  void cancel(io_operation& operation) noexcept override;
  void poll() noexcept override;
  void wait(time_point) noexcept override { poll(); }
  void wake() noexcept override {}
  [[nodiscard]] time_point next_event() const noexcept override;
  [[nodiscard]] std::size_t in_flight() const noexcept override { return in_flight_; }
  [[nodiscard]] backend_kind kind() const noexcept override { return backend_kind::simulated; }

 private:
  /// An operation that waits for its descriptor, and is to be tried.
  struct candidate {
    std::shared_ptr<simulated_object> object;
    io_leaf* op;
  };

  void try_waiting();
  void finish_busy(std::uint64_t ticket);
  void complete_later(io_leaf& op, int result);
  void deliver_completions();

  simulated_kernel kernel_;
  std::size_t in_flight_ = 0;
  std::map<std::uint64_t, io_leaf*> busy_;  // of files: by the ticket of the event that ends them
  std::uint64_t tickets_ = 0;
  std::vector<io_leaf*> completed_;  // their results are to be delivered
};

}  // namespace weir::detail
