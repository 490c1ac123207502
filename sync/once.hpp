#pragma once

#include <atomic>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <tuple>
#include <type_traits>
#include <utility>

#include "../runtime/detail/config.hpp"
#include "../runtime/detail/invoke.hpp"
#include "../runtime/detail/take.hpp"
#include "../runtime/task.hpp"
#include "detail/object_wait.hpp"
#include "detail/state_lock.hpp"
#include "detail/waiter.hpp"

namespace weir {

/// What a failed initialisation means for those who come later.
enum class on_failure : std::uint8_t {
  retry,  ///< the error is for the one who ran it; the next one tries again
  keep,   ///< everybody gets that error, now and later, and nobody tries again
};

namespace detail {

/// What a once answers to somebody who comes.
enum class once_answer : std::uint8_t {
  later,    ///< somebody else is at it
  turn,     ///< it is his turn now, and he has to end it
  settled,  ///< nobody needs to run it any more
};

class once_waiter : public waiter {
 public:
  once_waiter() = default;
  bool has_turn = false;  // written by who claims it; otherwise it is let through because all is settled

 protected:
  once_waiter(const once_waiter&) = default;
  ~once_waiter() = default;
};

class once_core;

/// The turn to run it, or nothing. A turn that ends undecided goes to the next who waits.
class [[nodiscard]] once_turn {
 public:
  once_turn() = default;
  /// `holder` is the frame or the thread that has it.
  once_turn(once_core& of, const void* holder) noexcept;
  once_turn(once_turn&& other) noexcept : core_(detail::take(other.core_)) {}
  once_turn& operator=(once_turn&&) = delete;
  ~once_turn();

  explicit operator bool() const noexcept { return core_ != nullptr; }
  void succeed() noexcept;
  /// Keeps the error if that was asked for.
  void fail(std::exception_ptr error) noexcept;

 private:
  once_core* core_ = nullptr;
};

class once_core {
 public:
  explicit once_core(on_failure policy) noexcept : policy_(policy) {}
  once_core(const once_core&) = delete;
  once_core& operator=(const once_core&) = delete;
  ~once_core() {
    WEIR_DETAIL_ASSERT((lock_.last() & busy) == 0,
                       "a once or lazy was destroyed while somebody runs it or waits for it");
  }

  [[nodiscard]] bool is_done() const noexcept { return (lock_.peek() & done) != 0; }
  [[nodiscard]] bool is_settled() const noexcept { return (lock_.peek() & (done | failed)) != 0; }
  /// Throws what was kept, if it has failed for good.
  void expect_done() const {
    if (!is_done() && error_) std::rethrow_exception(error_);
  }

  once_answer ask() noexcept;
  admission enter(once_waiter& w) noexcept;
  bool withdraw(once_waiter& w) noexcept;
  /// For a thread outside of every runtime. On a worker throws std::logic_error with `sentence` if it has to wait.
  once_turn enter_blocking(const char* sentence);
  /// `run()` in this thread's turn, unless it is settled.
  template <class Run>
  void run_blocking(const char* sentence, Run run) {
    if (!is_settled()) {
      once_turn turn = enter_blocking(sentence);
      if (turn) {
        try {
          run();
        } catch (...) {
          turn.fail(std::current_exception());
          throw;
        }
        return turn.succeed();
      }
    }
    expect_done();
  }

  /// Whether `task`, or a task that waits for it to return, is running it: then waiting would be for ever.
  [[nodiscard]] bool is_run_along(const promise_base& task) const noexcept;

 private:
  friend class once_turn;
  using state = state_lock::state;
  // Somebody who waits means that it is busy. What is settled stays so.
  static constexpr state busy = 1;
  static constexpr state done = 2;
  static constexpr state failed = 4;

  once_answer ask_locked(state& now) const noexcept;
  void settle(state how) noexcept;
  void pass_on() noexcept;

  state_lock lock_;
  const on_failure policy_;
  waiter_queue waiting_;
  std::exception_ptr error_;                  // written before it has `failed`, read after
  std::atomic<const void*> holder_{nullptr};  // an address to compare with, never to follow
};

class [[nodiscard]] once_enter_operation final : public object_wait<once_enter_operation, once_waiter, once_turn> {
 public:
  explicit once_enter_operation(once_core& core) noexcept : core_(core) {}
  once_enter_operation(const once_enter_operation&) = default;
  ~once_enter_operation() = default;

  bool ready(const await_context& context) noexcept {
    task_ = context.frame;
    return object_wait<once_enter_operation, once_waiter, once_turn>::ready(context);
  }
  [[nodiscard]] once_enter_operation& object() noexcept { return *this; }
  bool try_enter(once_waiter& w) noexcept {
    const once_answer answer = core_.ask();
    w.has_turn = answer == once_answer::turn;
    return answer != once_answer::later;
  }
  admission enter(once_waiter& w) noexcept { return core_.enter(w); }
  bool withdraw(once_waiter& w) noexcept { return core_.withdraw(w); }
  once_turn value() noexcept { return has_turn ? once_turn(core_, task_) : once_turn(); }
  [[nodiscard]] const char* name() const noexcept override { return "once::call"; }

 private:
  once_core& core_;
  const promise_base* task_ = nullptr;
};

/// Runs `fn(args...)` if that is still to be done and it is this task's turn.
template <class F, class... Args>
task<> run_once(once_core& core, F&& fn, Args&&... args) {
  once_turn turn = co_await once_enter_operation(core);
  if (!turn) {
    core.expect_done();
    co_return;
  }
  try {
    if constexpr (std::is_void_v<std::invoke_result_t<F, Args...>>) {
      detail::invoke(std::forward<F>(fn), std::forward<Args>(args)...);
    } else {
      auto running = detail::invoke(std::forward<F>(fn), std::forward<Args>(args)...);
      co_await std::move(running);
    }
  } catch (...) {
    turn.fail(std::current_exception());
    throw;
  }
  turn.succeed();
}

/// What is awaited: nothing when all is settled, otherwise the task that runs it or waits.
class [[nodiscard]] once_operation : public operation_base {
 public:
  std::coroutine_handle<> start(const await_context& context) noexcept {
    WEIR_DETAIL_ASSERT(!core_.is_run_along(*context.frame),
                       "a once or lazy is awaited from inside of its own function, and would wait for itself for ever");
    return inner_.start(context);
  }

 protected:
  explicit once_operation(once_core& core) noexcept : core_(core) {}
  once_operation(once_operation&&) = default;
  ~once_operation() = default;

  /// `make()` is the task that runs it.
  template <class Make>
  bool settled_or(Make make) noexcept {
    if (core_.is_settled()) return true;
    try {
      inner_ = make();
    } catch (...) {  // there is no memory for its frame
      failure_ = std::current_exception();
      return true;
    }
    return false;
  }
  void conclude() {
    if (inner_) return inner_.resume();
    if (failure_) std::rethrow_exception(failure_);
    core_.expect_done();
  }

  once_core& core_;

 private:
  task<> inner_;
  std::exception_ptr failure_;
};

template <class F, class... Args>
class [[nodiscard]] once_call_operation final : public once_operation {
 public:
  using value_type = void;

  once_call_operation(once_core& core, F&& fn, Args&&... args) noexcept
      : once_operation(core), fn_(std::forward<F>(fn)), args_(std::forward<Args>(args)...) {}
  once_call_operation(once_call_operation&&) = default;
  ~once_call_operation() = default;

  bool ready(const await_context&) noexcept {
    return settled_or([this] {
      const auto run = [this](Args&&... args) {
        return run_once<F, Args...>(core_, std::forward<F>(fn_), std::forward<Args>(args)...);
      };
      return std::apply(run, std::move(args_));
    });
  }
  void resume() { conclude(); }
  result<void> resume_result() noexcept {
    return capture<void>([this] { conclude(); });
  }

 private:
  F&& fn_;
  std::tuple<Args&&...> args_;
};

}  // namespace detail

/// Something that is done once, by the first who needs it; who comes meanwhile waits.
///
///     weir::once prepared;
///     co_await prepared.call(create_tables, std::ref(database));  // in each request
///
/// Everybody brings a function; the one whose turn it is runs his own. When it has succeeded, all who wait go on, and
/// nobody runs one any more. When it fails, the error reaches the one who ran it, and what the others get is said at
/// the making: on_failure::retry, where the next one in the queue tries, or on_failure::keep. Who is stopped while he
/// runs it has not failed: the next one tries, whatever was asked for. What was done inside is seen by whoever goes on.
///
/// Any task of any runtime and any plain thread may use it; but one that was made on a confined worker belongs to that
/// worker. It must outlive all who use it: destroying it while somebody runs it or waits is told in debug builds. (To
/// keep a value that is made once, use lazy<T>.)
class once {
 public:
  explicit once(on_failure policy = on_failure::retry) noexcept : core_(policy) {}
  once(const once&) = delete;
  once& operator=(const once&) = delete;
  ~once() = default;

  /// Completes once some call has succeeded: perhaps this one, which runs `fn(args...)` when it is its turn, first
  /// come, first served. `fn` returns nothing, or a task<> that is run here. Fails with what `fn` throws here, and with
  /// on_failure::keep with what it threw elsewhere: everybody gets the same exception object. A call from inside of
  /// `fn` would wait for itself; debug builds tell that, as far as the one awaits the other.
  ///
  /// Cancelled while waiting: leaves the queue and stops. Cancelled while it runs `fn`: `fn` is stopped, and the next
  /// one tries. Under a token that is already cancelled it stops before it runs `fn`; but what is done, is done: then
  /// it completes, without looking at the token. `fn` and `args` are referred to, not taken, and must live until it has
  /// completed. When it is done: one atomic load, no suspension, no allocation. Otherwise one frame, recycled; O(1),
  /// and O(waiters) when it succeeds.
  template <class F, class... Args>
    requires std::invocable<F, Args...>
  [[nodiscard]] detail::once_call_operation<F, Args...> call(
      F&& fn WEIR_DETAIL_LIFETIMEBOUND, Args&&... args WEIR_DETAIL_LIFETIMEBOUND) WEIR_DETAIL_LIFETIMEBOUND {
    using returned = std::invoke_result_t<F, Args...>;
    static_assert(std::is_void_v<returned> || std::is_same_v<returned, task<>>,
                  "the function of a once returns nothing, or a task<>: for a value there is lazy<T>");
    WEIR_DETAIL_REQUIRE_NAMED(F);
    return {core_, std::forward<F>(fn), std::forward<Args>(args)...};
  }

  /// call() for a thread outside of every runtime, which it blocks; it queues among the tasks. `fn` returns nothing. On
  /// a worker it throws std::logic_error where it would have to wait. Cannot be cancelled.
  template <class F, class... Args>
    requires std::invocable<F, Args...>
  void call_blocking(F&& fn, Args&&... args) {
    static_assert(std::is_void_v<std::invoke_result_t<F, Args...>>,
                  "call_blocking() can run no task: its function returns nothing");
    core_.run_blocking(
        "weir: once::call_blocking would block a worker of a runtime, and all its tasks: co_await call() instead",
        [&] { detail::invoke(std::forward<F>(fn), std::forward<Args>(args)...); });
  }

  /// Whether a call has succeeded; then whatever it did is seen. One atomic load.
  [[nodiscard]] bool is_done() const noexcept { return core_.is_done(); }

 private:
  detail::once_core core_;
};

}  // namespace weir
