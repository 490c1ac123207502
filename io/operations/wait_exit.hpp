#pragma once

#include <memory>

#include "../detail/child_process.hpp"
#include "poll.hpp"

namespace weir::detail {

/// Waits until a child process has ended, and takes its status if nobody has. Whoever is second gets the same.
class [[nodiscard]] wait_exit_operation final : public io_awaitable<wait_exit_operation, exit_status, poll_leaf> {
 public:
  static constexpr const char* verb = "wait for";
  explicit wait_exit_operation(std::shared_ptr<child_process> of) noexcept;
  wait_exit_operation(const wait_exit_operation&) = default;
  ~wait_exit_operation() = default;

  [[nodiscard]] failure failed();
  [[nodiscard]] exit_status value() const noexcept { return child_->status(); }

 private:
  std::shared_ptr<child_process> child_;
};

}  // namespace weir::detail
