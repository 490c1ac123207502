#pragma once

#include "detail/operation.hpp"
#include "result.hpp"

namespace weir {
namespace detail {

// Not a boundary: a stop from outside goes past it untouched.
template <class Op>
class [[nodiscard]] as_result_operation final : public operation_base {
 public:
  using value_type = result<operation_value_t<Op>>;

  explicit as_result_operation(Op&& inner) : inner_(std::move(inner)) {}
  as_result_operation(as_result_operation&& other) noexcept(std::is_nothrow_move_constructible_v<Op>)
      : operation_base(), inner_(std::move(other.inner_)) {}

  bool ready(const await_context& context) { return inner_.ready(context); }
  std::coroutine_handle<> start(const await_context& context) { return inner_.start(context); }
  value_type resume() noexcept { return inner_.resume_result(); }
  result<value_type> resume_result() noexcept {
    return capture<value_type>([this] { return inner_.resume_result(); });
  }

 private:
  Op inner_;
};

}  // namespace detail

/// Completes with a result<T> that tells how `op` ended: its value, its exception, `timed_out` or `cancelled` of a
/// scope inside it. It cannot swallow a cancellation from outside: then it does not complete at all, the task is
/// stopped. For leaves (I/O, sleeps, channels) no exception object is made. Allocates nothing.
template <detail::operation Op>
  requires(!std::is_lvalue_reference_v<Op>)
auto as_result(Op&& op) {
  return detail::as_result_operation<Op>(std::move(op));
}

}  // namespace weir
