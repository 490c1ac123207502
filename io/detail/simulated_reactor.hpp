#pragma once

#include <vector>

#include "../../runtime/detail/reactor.hpp"

namespace weir::detail {

/// The reactor of a simulation: there is no kernel. Operations on real descriptors are refused with ENOTSUP, because
/// their completions would come at the kernel's time and not at the seed's.
class simulated_reactor final : public reactor {
 public:
  [[nodiscard]] bool optimistic() const noexcept override { return true; }
  bool try_now(io_operation& op, int& result) noexcept override;
  void submit(io_operation& op) noexcept override;
  void cancel(io_operation&) noexcept override {}
  void poll() noexcept override;
  void wait(time_point) noexcept override { poll(); }
  void wake() noexcept override {}
  [[nodiscard]] std::size_t in_flight() const noexcept override { return refused_.size(); }
  [[nodiscard]] backend_kind kind() const noexcept override { return backend_kind::simulated; }

 private:
  std::vector<io_operation*> refused_;  // to be completed at the next turn
};

}  // namespace weir::detail
