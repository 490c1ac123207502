#pragma once

#include <coroutine>
#include <utility>

#include "operation.hpp"
#include "selection.hpp"

namespace weir::detail {

/// A selectable operation that waits as `Inner` does, and has something else to say when that has completed. A derived
/// one has value_type, resume() and resume_result(), which call those of `inner_`.
template <class Inner>
class wrapped_operation : public operation_base {
 public:
  bool ready(const await_context& context) noexcept { return inner_.ready(context); }
  std::coroutine_handle<> start(const await_context& context) noexcept { return inner_.start(context); }

  // The selectable protocol.
  bool try_commit() noexcept { return inner_.try_commit(); }
  bool arm_case(case_link link) noexcept { return inner_.arm_case(link); }
  void withdraw_case() noexcept { inner_.withdraw_case(); }
  [[nodiscard]] const void* case_object() const noexcept { return inner_.case_object(); }

 protected:
  explicit wrapped_operation(Inner&& inner) noexcept : inner_(std::move(inner)) {}
  wrapped_operation(const wrapped_operation&) = default;
  ~wrapped_operation() = default;

  Inner inner_;
};

}  // namespace weir::detail
