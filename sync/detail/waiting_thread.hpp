#pragma once

#include "../../runtime/runtime.hpp"
#include "waiter.hpp"

namespace weir::detail {

/// A thread outside of every runtime that waits in a queue, among tasks. Lives on that thread's stack.
class waiting_thread final : public waiter {
 public:
  /// On a worker, whose tasks would all wait with it, throws std::logic_error with `sentence`.
  explicit waiting_thread(const char* sentence);
  ~waiting_thread() = default;

  void wait() noexcept;

 private:
  void wake() noexcept override { latch_.set(); }
  main_latch latch_;
};

}  // namespace weir::detail
