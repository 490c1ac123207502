#pragma once

#include <concepts>
#include <coroutine>
#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "detail/operation.hpp"
#include "detail/promise_base.hpp"
#include "detail/take.hpp"
#include "task.hpp"

namespace weir {

template <class T>
class async_generator;

namespace detail {

// A generator's frame is entered anew by every next(), each time in the environment of whoever awaits that one. Between
// two of them it is suspended at its beginning or at a co_yield. There no scope and no leaf is open in it, so nothing
// keeps what the last next() had put into the promise; `awaiter` is null, and in flight it is not.
class generator_promise_base : public awaiting_promise {
 public:
  final_awaiter final_suspend() const noexcept { return {}; }
  void return_void() noexcept { outcome = outcome_kind::value; }
  void unhandled_exception() noexcept {
    exception_ = std::current_exception();
    outcome = outcome_kind::exception;
  }
  [[nodiscard]] const std::exception_ptr& exception() const noexcept { return exception_; }

 private:
  std::exception_ptr exception_;
};

// What is yielded stays where it is, in the frame that is suspended at the co_yield; resume() takes it from there.
template <class T>
class generator_promise final : public generator_promise_base {
  using object = std::remove_const_t<T>;
  static_assert(alignof(T) <= 16, "over-aligned values do not fit a coroutine frame: yield a std::unique_ptr");
  static_assert(std::move_constructible<object>, "a generator moves its values out: yield a pointer or a reference");

 public:
  async_generator<T> get_return_object(std::source_location here = std::source_location::current()) noexcept;

  final_awaiter yield_value(object&& value) noexcept {
    value_ = std::addressof(value);
    copy_ = nullptr;
    return {};
  }
  final_awaiter yield_value(const object& value) noexcept
    requires std::copy_constructible<object>
  {
    value_ = std::addressof(value);
    copy_ = [](const object& yielded) { return std::optional<T>(std::in_place, yielded); };
    return {};
  }

  std::optional<T> take() {
    if (copy_) return copy_(*value_);
    return std::optional<T>(std::in_place, std::move(const_cast<object&>(*value_)));  // it came in as an rvalue
  }

 private:
  const object* value_ = nullptr;
  // Made only where an lvalue is yielded: a std::vector<std::unique_ptr<X>> claims that it can be copied.
  std::optional<T> (*copy_)(const object&) = nullptr;
};

template <class T>
class generator_promise<T&> final : public generator_promise_base {
 public:
  async_generator<T&> get_return_object(std::source_location here = std::source_location::current()) noexcept;
  final_awaiter yield_value(T& value) noexcept {
    value_ = std::addressof(value);
    return {};
  }
  T* take() const noexcept { return value_; }

 private:
  T* value_ = nullptr;
};

/// Runs a generator from one co_yield to the next. `body` is the generator's handle, where it lives.
template <class T>
class [[nodiscard]] next_operation final : public operation_base {
 public:
  using value_type = std::conditional_t<std::is_reference_v<T>, std::add_pointer_t<T>, std::optional<T>>;

  explicit next_operation(std::coroutine_handle<>& body) noexcept : body_(body) {}
  next_operation(const next_operation&) = default;
  next_operation& operator=(const next_operation&) = delete;
  ~next_operation() = default;

  bool ready(const await_context&) const noexcept { return !body_ && consume_budget(); }

  std::coroutine_handle<> start(const await_context& context) noexcept {
    if (!body_) {
      schedule(*context.frame);
      return std::noop_coroutine();
    }
    generator_promise<T>& promise = this->promise();
    WEIR_DETAIL_ASSERT(!promise.awaiter, "two calls of next() of one async_generator are awaited at the same time");
    promise.env = context.env;
    promise.awaiter = context.frame;
    promise.scope = context.scope;
    promise.owner = &body_;
    if (consume_budget()) return body_;
    schedule(promise);  // a generator that never waits lets others run now and then
    return std::noop_coroutine();
  }

  value_type resume() {
    if (!body_) return value_type();
    generator_promise<T>& promise = this->promise();
    promise.awaiter = nullptr;
    if (promise.outcome == outcome_kind::none) {
      try {
        return promise.take();
      } catch (...) {
        end();
        throw;
      }
    }
    const std::exception_ptr exception = promise.exception();
    end();
    if (exception) std::rethrow_exception(exception);
    return value_type();
  }

  result<value_type> resume_result() noexcept {
    if (body_ && promise().outcome == outcome_kind::exception) {
      std::exception_ptr exception = promise().exception();
      promise().awaiter = nullptr;
      end();
      return failure(std::move(exception));
    }
    return capture<value_type>([this] { return resume(); });
  }

 private:
  [[nodiscard]] generator_promise<T>& promise() const noexcept {
    return std::coroutine_handle<generator_promise<T>>::from_address(body_.address()).promise();
  }
  void end() noexcept { detail::take(body_).destroy(); }

  std::coroutine_handle<>& body_;
};

}  // namespace detail

/// A lazy coroutine that hands out one T after another with `co_yield`, and may await in between whatever a task may:
///
///     while (auto line = co_await lines.next()) use(*line);
///
/// It runs only while a next() is awaited: from where it was up to the next `co_yield`, which continues the awaiter
/// directly, without the run queue, though now and then after others had their turn. T may be move-only, const, or an
/// lvalue reference. Its frame is one allocation, recycled by the worker.
///
/// Cancellation: each next() runs the body under the token and deadline of the task that awaits it, with the scopes
/// around it. When one is stopped the body's locals are destroyed, no `catch` block runs, and the generator has ended,
/// also if it was a with_timeout or when_any around next() that stopped it. To go on after a timeout, the timeout
/// belongs into the body. What the body gets from current_token() is valid until its next `co_yield`.
///
/// Lifetimes: as for a task. The generator must not be moved or destroyed while a next() is under way, and one next()
/// at a time may be; debug builds assert it. Destroyed at any other moment it destroys the body's locals, and with them
/// the generators among those, one inside the other.
template <class T>
class [[nodiscard]] async_generator {
  static_assert(!std::is_void_v<T>, "a generator of void has nothing to yield: give it a type, or write a task");
  static_assert(!std::is_rvalue_reference_v<T>,
                "a generator of rvalue references would give away what is about to "
                "change: yield values, or lvalue references");

 public:
  using value_type = T;
  using promise_type = detail::generator_promise<T>;

  /// Has ended.
  async_generator() = default;
  /// The one moved from has ended.
  async_generator(async_generator&& other) noexcept : body_(other.release()) {}
  async_generator& operator=(async_generator&& other) noexcept {
    if (this != &other) {
      destroy();
      body_ = other.release();
    }
    return *this;
  }
  async_generator(const async_generator&) = delete;
  async_generator& operator=(const async_generator&) = delete;
  ~async_generator() { destroy(); }

  /// Completes with the next value as a std::optional<T>, empty when the generator has ended; for a T& with a T*, null
  /// at the end, which refers to what was yielded for as long as that lives, and when that was a temporary, until the
  /// next call. A yielded rvalue is moved once, into the optional; an lvalue is copied there.
  ///
  /// Throws what the body throws, or T's move or copy; then the generator has ended. After the end it completes at
  /// once, again and again. Cancellation: also under a token that is cancelled already the body runs up to its first
  /// leaf; see above. Allocates nothing; O(1), besides what the body does.
  [[nodiscard]] auto next() noexcept WEIR_DETAIL_LIFETIMEBOUND { return detail::next_operation<T>(body_); }

 private:
  friend promise_type;
  explicit async_generator(std::coroutine_handle<> body) noexcept : body_(body) {}

  std::coroutine_handle<> release() noexcept {
    assert_at_rest();
    return detail::take(body_);
  }
  void destroy() noexcept {
    assert_at_rest();
    if (body_) detail::take(body_).destroy();
  }
  void assert_at_rest() const noexcept {
    WEIR_DETAIL_ASSERT(!body_ || !std::coroutine_handle<promise_type>::from_address(body_.address()).promise().awaiter,
                       "an async_generator was moved or destroyed while its next() was awaited");
  }

  std::coroutine_handle<> body_;
};

namespace detail {

template <class T>
async_generator<T> generator_promise<T>::get_return_object(std::source_location here) noexcept {
  awaiting_at = here;
  return async_generator<T>(handle());
}
template <class T>
async_generator<T&> generator_promise<T&>::get_return_object(std::source_location here) noexcept {
  awaiting_at = here;
  return async_generator<T&>(handle());
}

}  // namespace detail
}  // namespace weir
