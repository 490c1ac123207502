#pragma once

#include <coroutine>
#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "detail/foreign.hpp"
#include "detail/operation.hpp"
#include "detail/promise_base.hpp"
#include "detail/take.hpp"

namespace weir {

template <class T>
class task;

namespace detail {

/// Runs when a coroutine has returned, thrown or, being a generator's, yielded: goes on with whoever waits for it.
struct final_awaiter {
  [[nodiscard]] bool await_ready() const noexcept { return false; }
  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> finished) const noexcept {
    promise_base& promise = finished.promise();
    if (promise.scope) return transfer(promise.scope->child_finished());
    return transfer(promise.awaiter->handle());
  }
  void await_resume() const noexcept {}
};

/// What every promise of a weir coroutine does.
class awaiting_promise : public promise_base {
 public:
  std::suspend_always initial_suspend() const noexcept { return {}; }

  template <operation Op>
    requires(!std::is_lvalue_reference_v<Op>)
  operation_awaiter<Op> await_transform(Op&& op, std::source_location here = std::source_location::current()) noexcept {
    awaiting_at = here;
    return operation_awaiter<Op>(op, *this);
  }
  template <operation Op>
  std::suspend_never await_transform(Op&) noexcept {
    static_assert(!operation<Op>, "an operation is awaited once, and given away: co_await std::move(it), or the call");
    return {};
  }

  template <class Awaitable>
    requires(!operation<Awaitable>)
  auto await_transform(Awaitable&& foreign, std::source_location here = std::source_location::current()) {
    awaiting_at = here;
    return foreign_awaiter<Awaitable>(std::forward<Awaitable>(foreign), *this);
  }
};

template <class T>
class task_promise final : public awaiting_promise {
 public:
  static_assert(alignof(T) <= 16, "over-aligned results do not fit a coroutine frame: return a std::unique_ptr");

  task_promise() noexcept {}
  ~task_promise() {
    if (outcome == outcome_kind::value) {
      std::destroy_at(std::addressof(value_));
    } else if (outcome == outcome_kind::exception) {
      std::destroy_at(std::addressof(exception_));
    }
  }

  task<T> get_return_object(std::source_location here = std::source_location::current()) noexcept;
  final_awaiter final_suspend() const noexcept { return {}; }

  template <class U = T>
    requires std::constructible_from<T, U&&>
  void return_value(U&& value) noexcept(std::is_nothrow_constructible_v<T, U&&>) {
    std::construct_at(std::addressof(value_), std::forward<U>(value));
    outcome = outcome_kind::value;
  }
  void unhandled_exception() noexcept {
    if (outcome == outcome_kind::value) std::destroy_at(std::addressof(value_));  // a local's destructor threw
    std::construct_at(std::addressof(exception_), std::current_exception());
    outcome = outcome_kind::exception;
  }

  T take() {
    if (outcome == outcome_kind::exception) std::rethrow_exception(exception_);
    return std::move(value_);
  }
  /// The exception with which it ended; null if it did not.
  [[nodiscard]] const std::exception_ptr* thrown() const noexcept {
    return outcome == outcome_kind::exception ? &exception_ : nullptr;
  }

 private:
  union {
    T value_;
    std::exception_ptr exception_;
  };
};

template <class T>
class task_promise<T&> final : public awaiting_promise {
 public:
  task<T&> get_return_object(std::source_location here = std::source_location::current()) noexcept;
  final_awaiter final_suspend() const noexcept { return {}; }
  void return_value(T& value) noexcept {
    value_ = std::addressof(value);
    outcome = outcome_kind::value;
  }
  void unhandled_exception() noexcept {
    exception_ = std::current_exception();
    outcome = outcome_kind::exception;
  }
  T& take() {
    if (exception_) std::rethrow_exception(exception_);
    return *value_;
  }
  [[nodiscard]] const std::exception_ptr* thrown() const noexcept { return exception_ ? &exception_ : nullptr; }

 private:
  T* value_ = nullptr;
  std::exception_ptr exception_;
};

template <>
class task_promise<void> final : public awaiting_promise {
 public:
  task<void> get_return_object(std::source_location here = std::source_location::current()) noexcept;
  final_awaiter final_suspend() const noexcept { return {}; }
  void return_void() noexcept { outcome = outcome_kind::value; }
  void unhandled_exception() noexcept {
    exception_ = std::current_exception();
    outcome = outcome_kind::exception;
  }
  void take() const {
    if (exception_) std::rethrow_exception(exception_);
  }
  [[nodiscard]] const std::exception_ptr* thrown() const noexcept { return exception_ ? &exception_ : nullptr; }

 private:
  std::exception_ptr exception_;
};

}  // namespace detail

/// A lazy coroutine that completes with a T (which may be void, a reference, or move-only), or throws, or is stopped.
///
/// It starts when it is awaited (once: `co_await std::move(t)`, or the call itself) or handed to a group, and continues
/// its awaiter directly, without the run queue. Its frame is one allocation, recycled by the worker; awaiting allocates
/// nothing else. The awaiter resumes on whatever worker the task ended on.
///
/// Cancellation: it has the token and deadline of whoever awaits it. When it is stopped its locals are destroyed,
/// innermost frame first, and no `catch` block runs.
///
/// Lifetimes: parameters by value live in the frame, references must outlive the task. A coroutine lambda's captures
/// live in the lambda: keep it alive, or hand it to spawn(fn, args...) which does.
template <class T = void>
class [[nodiscard("a task runs when it is awaited: co_await it, or spawn it")]] task : public detail::operation_base {
 public:
  using value_type = T;
  using promise_type = detail::task_promise<T>;

  task() = default;
  task(task&& other) noexcept : operation_base(), handle_(detail::take(other.handle_)) {}
  task& operator=(task&& other) noexcept {
    if (this != &other) {
      destroy();
      handle_ = detail::take(other.handle_);
    }
    return *this;
  }
  task(const task&) = delete;
  task& operator=(const task&) = delete;
  ~task() { destroy(); }

  /// False for a default-made, moved-from or already awaited task.
  explicit operator bool() const noexcept { return static_cast<bool>(handle_); }

  // The operation protocol, for weir's own combinators.
  bool ready(const detail::await_context&) const noexcept { return false; }
  std::coroutine_handle<> start(const detail::await_context& context) noexcept {
    if (!handle_) detail::fatal("weir: this task was moved from or already awaited: a task is awaited once");
    promise_type& promise = this->promise();
    promise.env = context.env;
    promise.awaiter = context.frame;
    promise.scope = context.scope;
    promise.owner = &handle_;
    return handle_;
  }
  T resume() {
    struct release {
      task& self;
      ~release() { self.destroy(); }
    } last{*this};
    return promise().take();
  }
  result<T> resume_result() noexcept {
    if (const std::exception_ptr* thrown = promise().thrown()) {
      detail::failure failed(*thrown);
      destroy();
      return failed;
    }
    return detail::capture<T>([this]() -> T { return resume(); });
  }
  // For those who run it as a strand: its first frame, and its outcome once it has ended.
  [[nodiscard]] detail::promise_base& root() noexcept {
    promise().owner = &handle_;
    return promise();
  }
  [[nodiscard]] const std::exception_ptr* thrown() const noexcept { return promise().thrown(); }
  [[nodiscard]] std::exception_ptr exception() const noexcept { return thrown() ? *thrown() : nullptr; }
  T take() const { return promise().take(); }

 private:
  friend promise_type;
  explicit task(std::coroutine_handle<> handle) noexcept : handle_(handle) {}

  [[nodiscard]] promise_type& promise() const noexcept {
    return std::coroutine_handle<promise_type>::from_address(handle_.address()).promise();
  }
  void destroy() noexcept {
    if (handle_) detail::take(handle_).destroy();
  }

  std::coroutine_handle<> handle_;
};

namespace detail {

template <class T>
task<T> task_promise<T>::get_return_object(std::source_location here) noexcept {
  awaiting_at = here;
  return task<T>(handle());
}
template <class T>
task<T&> task_promise<T&>::get_return_object(std::source_location here) noexcept {
  awaiting_at = here;
  return task<T&>(handle());
}
inline task<void> task_promise<void>::get_return_object(std::source_location here) noexcept {
  awaiting_at = here;
  return task<void>(handle());
}

/// Any operation as a task of its own, for combinators that run several at once.
template <operation Op>
task<operation_value_t<Op>> as_task(Op op) {
  co_return co_await std::move(op);
}
template <class T>
task<T> as_task(task<T>&& op) noexcept {
  return std::move(op);
}

template <class>
inline constexpr bool is_task = false;
template <class T>
inline constexpr bool is_task<task<T>> = true;

/// What a function makes that returns an R, be that a task or the thing itself.
template <class R>
struct unwrapped_task {
  using type = R;
};
template <class R>
struct unwrapped_task<task<R>> {
  using type = R;
};

}  // namespace detail
}  // namespace weir
