#pragma once

#include <type_traits>
#include <utility>

#include "../../runtime/detail/local_value.hpp"
#include "../../runtime/detail/locals_operation.hpp"
#include "../../runtime/detail/operation.hpp"
#include "../../runtime/detail/scheduler.hpp"

// Jobs run in the tasks of workers, but see the task_locals of who submitted them.

namespace weir::detail {

/// Runs an operation with these task_locals in place of those around it. They must outlive it.
template <operation Op>
  requires(!std::is_lvalue_reference_v<Op>)
auto in_locals(const local_value* locals, Op&& op) {
  return locals_operation<Op>(locals, std::move(op));
}

/// The same for a function that is called by the running task, as long as this lives.
class worn_locals {
 public:
  explicit worn_locals(const local_value* locals) noexcept : before_(current_environment()), env_(*before_) {
    env_.locals = locals;
    set_current_environment(&env_);
  }
  worn_locals(const worn_locals&) = delete;
  worn_locals& operator=(const worn_locals&) = delete;
  ~worn_locals() { set_current_environment(before_); }

 private:
  environment* before_;
  environment env_;
};

}  // namespace weir::detail
