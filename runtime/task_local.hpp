#pragma once

#include <concepts>
#include <type_traits>
#include <utility>

#include "detail/local_value.hpp"
#include "detail/locals_operation.hpp"
#include "detail/operation.hpp"
#include "detail/scheduler.hpp"
#include "detail/take.hpp"

namespace weir {

namespace detail {

template <class T>
class local_value_of final : public local_value {
  static_assert(alignof(T) <= 16, "over-aligned values do not fit a task_local: use a std::unique_ptr");

 public:
  template <class U>
  local_value_of(const void* key, U&& value) : local_value(key), value_(std::forward<U>(value)) {}
  [[nodiscard]] const T& value() const noexcept { return value_; }

 private:
  ~local_value_of() override = default;
  T value_;
};

/// Runs an operation in which one task_local has another value.
template <class Op>
class [[nodiscard]] local_operation final : public locals_operation<Op> {
 public:
  /// Takes over a reference.
  local_operation(local_value* value, Op&& inner) noexcept(std::is_nothrow_move_constructible_v<Op>)
      : locals_operation<Op>(value, std::move(inner)), value_(value) {}
  local_operation(local_operation&& other) noexcept(std::is_nothrow_move_constructible_v<Op>)
      : locals_operation<Op>(std::move(other)), value_(detail::take(other.value_)) {}
  ~local_operation() { local_value::release(value_); }

  bool ready(const await_context& context) {
    value_->set_outer(context.env->locals);
    return locals_operation<Op>::ready(context);
  }

 private:
  local_value* value_;
};

}  // namespace detail

/// A value that a task and everything below it can ask for without its being passed along: a request's id, a trace's
/// context.
///
///     weir::task_local<std::string> request_id;
///
///     co_await request_id.with("abc", handle(request));
///     if (const std::string* id = request_id.get()) log("request {}", *id);
///
/// An awaited task sees what its awaiter sees. A spawned one, and a child of when_all and when_any, sees what its
/// spawner saw at that moment, also after the scope there has ended; it shares the value, which is destroyed with the
/// last task that sees it, on that task's worker. What threads outside spawn sees none, and neither does a function in
/// offload(): let it capture what it needs.
///
/// The object itself is a key: make it a global, or let it outlive every task that may ask. It is neither copied nor
/// registered anywhere, and costs those who do not use it nothing.
template <class T>
class task_local {
  static_assert(std::same_as<T, std::remove_cvref_t<T>>, "task_local<T>: T is a plain object type; it is const to all");

 public:
  constexpr task_local() noexcept = default;
  task_local(const task_local&) = delete;
  task_local& operator=(const task_local&) = delete;

  /// The innermost value around the running task; null when there is none, and outside of tasks. It stays where it is
  /// while the calling function runs under it. O(the values of all task_locals in sight).
  [[nodiscard]] const T* get() const noexcept {
    const detail::environment* const env = detail::current_environment();
    const detail::local_value* const found = env ? detail::local_value::find(env->locals, this) : nullptr;
    return found ? &static_cast<const detail::local_value_of<T>*>(found)->value() : nullptr;
  }

  /// Runs `op` (a task or any operation) with this value and completes with what it completes with. Cancellation goes
  /// through. Allocates once, for the value, which is recycled like a task's frame; O(1).
  template <class U, detail::operation Op>
    requires std::constructible_from<T, U&&> && (!std::is_lvalue_reference_v<Op>)
  auto with(U&& value, Op&& op) const {
    return detail::local_operation<Op>(new detail::local_value_of<T>(this, std::forward<U>(value)), std::move(op));
  }
};

}  // namespace weir
