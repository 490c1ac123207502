#pragma once

#include <atomic>
#include <coroutine>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

#include "promise_base.hpp"
#include "scheduler.hpp"
#include "take.hpp"

// Awaiting something that is not weir's. A small coroutine awaits it and, wherever it is resumed, hands the weir frame
// back to a worker of its runtime. A stop waits for it: nothing foreign is destroyed while it is under way.

namespace weir::detail {

template <class Awaitable>
decltype(auto) foreign_awaiter_of(Awaitable&& awaitable) {
  if constexpr (requires { std::forward<Awaitable>(awaitable).operator co_await(); }) {
    return std::forward<Awaitable>(awaitable).operator co_await();
  } else if constexpr (requires { operator co_await(std::forward<Awaitable>(awaitable)); }) {
    return operator co_await(std::forward<Awaitable>(awaitable));
  } else {
    return std::forward<Awaitable>(awaitable);
  }
}

template <class Awaitable>
concept foreign_awaitable =
    requires(std::remove_reference_t<decltype(foreign_awaiter_of(std::declval<Awaitable>()))>& awaiter) {
      static_cast<bool>(awaiter.await_ready());
      awaiter.await_resume();
    };

/// The coroutine that stands between. Both sides arrive at `meet_` once; the second one goes on.
class foreign_hop {
 public:
  class promise_type {
   public:
    foreign_hop get_return_object() noexcept {
      return foreign_hop(std::coroutine_handle<promise_type>::from_promise(*this));
    }
    std::suspend_always initial_suspend() const noexcept { return {}; }
    auto final_suspend() const noexcept {
      struct arrive {
        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<promise_type> self) const noexcept {
          promise_type& promise = self.promise();
          promise_base* waiting = promise.frame;
          if (promise.meet.exchange(true, std::memory_order_acq_rel)) schedule(*waiting);
        }
        void await_resume() const noexcept {}
      };
      return arrive{};
    }
    void return_void() const noexcept {}
    void unhandled_exception() const noexcept { std::terminate(); }  // the body catches everything

    promise_base* frame = nullptr;
    std::atomic<bool> meet{false};
  };

  foreign_hop() = default;
  foreign_hop(foreign_hop&& other) noexcept : handle_(detail::take(other.handle_)) {}
  foreign_hop& operator=(foreign_hop&& other) noexcept {
    detail::trade(handle_, other.handle_);
    return *this;
  }
  ~foreign_hop() {
    if (handle_) handle_.destroy();
  }

  /// Runs up to the first suspension of the foreign awaitable. True: it is already complete.
  bool start(promise_base& waiting) {
    handle_.promise().frame = &waiting;
    handle_.resume();
    return handle_.promise().meet.exchange(true, std::memory_order_acq_rel);
  }

 private:
  explicit foreign_hop(std::coroutine_handle<promise_type> handle) noexcept : handle_(handle) {}
  std::coroutine_handle<promise_type> handle_;
};

template <class T>
struct foreign_result {
  std::optional<T> value;
  std::exception_ptr exception;
  T take() {
    if (exception) std::rethrow_exception(exception);
    return std::move(*value);
  }
};
template <class T>
struct foreign_result<T&> {
  T* value = nullptr;
  std::exception_ptr exception;
  T& take() {
    if (exception) std::rethrow_exception(exception);
    return *value;
  }
};
template <>
struct foreign_result<void> {
  std::exception_ptr exception;
  void take() const {
    if (exception) std::rethrow_exception(exception);
  }
};

template <class T, class Awaiter>
foreign_hop hop(Awaiter& awaiter, foreign_result<T>& out) {
  bool done = false;  // a local of its own: g++ 12 needs one
  try {
    if constexpr (std::is_void_v<T>) {
      co_await awaiter;
    } else if constexpr (std::is_reference_v<T>) {
      auto&& value = co_await awaiter;
      out.value = std::addressof(value);
    } else {
      auto value = co_await awaiter;
      out.value.emplace(std::move(value));
    }
    done = true;
  } catch (...) {
    out.exception = std::current_exception();
  }
  static_cast<void>(done);
}

template <class Awaitable>
class [[nodiscard]] foreign_awaiter {
  static_assert(foreign_awaitable<Awaitable>,
                "this cannot be awaited: it is neither a weir operation nor has it await_ready/await_suspend/"
                "await_resume or operator co_await");
  using awaiter_type = decltype(foreign_awaiter_of(std::declval<Awaitable>()));
  using value_type = decltype(std::declval<std::remove_reference_t<awaiter_type>&>().await_resume());
  using stored_type =
      std::conditional_t<std::is_rvalue_reference_v<value_type>, std::remove_reference_t<value_type>, value_type>;

 public:
  foreign_awaiter(Awaitable&& awaitable, promise_base& frame)
      : awaiter_(foreign_awaiter_of(std::forward<Awaitable>(awaitable))), frame_(frame) {}
  foreign_awaiter(const foreign_awaiter&) = delete;
  foreign_awaiter& operator=(const foreign_awaiter&) = delete;

  bool await_ready() { return awaiter_.await_ready(); }
  bool await_suspend(std::coroutine_handle<>) {
    environment* env = current_environment();
    hopped_ = true;
    hop_ = hop<stored_type>(awaiter_, result_);
    const bool complete = hop_.start(frame_);
    if (complete) set_current_environment(env);
    return !complete;
  }
  stored_type await_resume() {
    if (!hopped_) return awaiter_.await_resume();
    return result_.take();
  }

 private:
  awaiter_type awaiter_;
  promise_base& frame_;
  foreign_result<stored_type> result_;
  foreign_hop hop_;
  bool hopped_ = false;
};

}  // namespace weir::detail
