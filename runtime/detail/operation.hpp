#pragma once

#include <concepts>
#include <coroutine>
#include <type_traits>
#include <utility>

#include "../result.hpp"
#include "promise_base.hpp"
#include "scheduler.hpp"

// The protocol between a task and what it awaits. An operation is an object with
//
//   using value_type = ...;
//   bool ready(const await_context&);                     first, once: true when it completed without suspending
//   std::coroutine_handle<> start(const await_context&);  after false: what to run while this frame is suspended
//   value_type resume();                                  once it has completed: the value, or throws
//   result<value_type> resume_result() noexcept;          instead of resume(): the same without throwing
//
// and the base operation_base. It may be moved until ready() is called and never after. Tasks and leaves are
// operations; scopes are operations that hold another one, so that `with_timeout(1s, stream.read_some(buffer))` needs
// no frame of its own.

namespace weir::detail {

template <class>
inline constexpr bool always_false = false;

/// Marks weir's operations, and tells foreign coroutines in a sentence that they cannot await them.
class operation_base {
 public:
  operation_base() = default;
  template <class Promise = void>
  [[nodiscard]] bool await_ready() const noexcept {
    static_assert(always_false<Promise>,
                  "a weir operation can only be awaited in a weir::task (or weir::async_generator): wrap this "
                  "coroutine, or start it with weir::block_on / runtime::spawn");
    return false;
  }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise>) const noexcept {}
  void await_resume() const noexcept {}
};

template <class Op>
concept operation = std::derived_from<std::remove_cvref_t<Op>, operation_base>;

template <class Op>
using operation_value_t = typename std::remove_cvref_t<Op>::value_type;

/// Leaves end an await without a frame of their own, so they cannot be spawned.
template <class Op>
concept leaf_operation = operation<Op> && std::derived_from<std::remove_cvref_t<Op>, leaf>;

/// Awaits an operation that lives in the awaiting frame.
template <class Op>
class [[nodiscard]] operation_awaiter {
 public:
  operation_awaiter(Op& op, promise_base& frame) noexcept : op_(op), frame_(frame) {}
  operation_awaiter(const operation_awaiter&) = delete;
  operation_awaiter& operator=(const operation_awaiter&) = delete;

  // Written out twice: a function for it would be compiled for each operation.
  bool await_ready() { return op_.ready({&frame_, nullptr, frame_.env}); }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<>) {
    return transfer(op_.start({&frame_, nullptr, frame_.env}));
  }
  decltype(auto) await_resume() { return op_.resume(); }

 private:
  Op& op_;
  promise_base& frame_;
};

/// A callable's result as the value of a result<T>.
template <class T, class F>
result<T> capture(F&& produce) noexcept {
  try {
    if constexpr (std::is_void_v<T>) {
      std::forward<F>(produce)();
      return result<T>(std::in_place);
    } else {
      return result<T>(std::in_place, std::forward<F>(produce)());
    }
  } catch (...) {
    return failure(std::current_exception());
  }
}

}  // namespace weir::detail
