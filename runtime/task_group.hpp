#pragma once

#include <exception>
#include <source_location>
#include <type_traits>
#include <utility>

#include "detail/group_core.hpp"
#include "detail/operation.hpp"
#include "detail/selection.hpp"
#include "spawn.hpp"
#include "task.hpp"

namespace weir {

class task_group;

namespace detail {

/// Waits until a group has no child left. Made by task_group::join().
class [[nodiscard]] group_join_operation final : public operation_base, public leaf {
 public:
  using value_type = void;
  explicit group_join_operation(task_group& group) noexcept : group_(group) {}
  group_join_operation(const group_join_operation&) = default;
  ~group_join_operation() = default;

  bool ready(const await_context& context) noexcept;
  std::coroutine_handle<> start(const await_context& context) noexcept;
  void resume() noexcept { finish(); }
  result<void> resume_result() noexcept {
    finish();
    return result<void>(std::in_place);
  }
  [[nodiscard]] const char* name() const noexcept override { return "task_group::join"; }

  // The selectable protocol.
  bool try_commit() noexcept;
  bool arm_case(case_link link) noexcept;
  void withdraw_case() noexcept;
  [[nodiscard]] const void* case_object() const noexcept { return nullptr; }

 private:
  friend class weir::task_group;
  void request_stop(cancellation_cause) noexcept override;
  /// Under the group's lock: waits no longer. False: it did not wait there.
  bool leave_group() noexcept;

  task_group& group_;
  case_link in_select_;
  bool withdrawn_ = false;  // guarded by the group's lock
};

template <class F>
class group_operation;

}  // namespace detail

/// Where children are spawned inside with_task_group and with_supervisor. It lives as long as that scope, which is not
/// left before all children are joined.
class task_group : private detail::group_core, private detail::boundary {
 public:
  /// Starts `body` as a child. It has the group's token and deadline. Any task, thread or callback may spawn while the
  /// group lives; a child of a cancelled group still runs up to its first leaf. The handle may be dropped.
  template <class T>
  join_handle<T> spawn(task<T>&& body, std::source_location where = std::source_location::current()) {
    return detail::spawn_task(*this, std::move(body), where);
  }
  /// The same for a function that returns a task: it and its arguments live as long as the child.
  template <class F, class... Args>
    requires detail::task_function<F, Args...>
  auto spawn(F&& callable, Args&&... args) {
    WEIR_DETAIL_REQUIRE_NAMED(F);
    return detail::spawn_call(*this, detail::any_worker, std::forward<F>(callable), std::forward<Args>(args)...);
  }
  /// Refused, with a sentence: a leaf has no frame, and a task that has a name has to be given away.
  template <detail::leaf_operation Op>
  void spawn(Op&&) {
    detail::refuse_spawn<Op>();
  }
  template <class T>
  void spawn(task<T>&) {
    detail::refuse_spawn<task<T>&>();
  }

  /// Stops the body and all children; the scope then throws `cancelled` if the body was stopped. Any thread.
  void cancel() noexcept { group_core::cancel(); }
  /// Cancelled with the group: by cancel(), by the first failure, or from outside.
  [[nodiscard]] cancellation_token token() noexcept { return group_core::token(); }
  /// Children that are not joined yet.
  [[nodiscard]] std::size_t size() const noexcept { return group_core::size(); }
  /// Children that ended with an exception so far.
  [[nodiscard]] std::size_t failures() const noexcept { return group_core::failures(); }

  /// Completes when no child is left. For the body, at its end: then children may refer to the body's locals. Cancelled
  /// while waiting: the children are cancelled too, being in the same group. Selectable: when another case is chosen,
  /// the children go on. Only the body may join.
  [[nodiscard]] auto join() noexcept { return detail::group_join_operation(*this); }

 private:
  template <class>
  friend class detail::group_operation;
  friend class detail::group_join_operation;

  explicit task_group(on_failure policy) noexcept : group_core(policy) {}
  ~task_group() = default;

  void begin(const detail::await_context& context) noexcept;
  /// Back in the awaiting frame; rethrows what the children or cancel() left.
  void end();
  [[nodiscard]] detail::failure end_result() noexcept;
  /// The body has returned or thrown: what to run now.
  std::coroutine_handle<> body_ended() noexcept;

  /// The body has ended and no child is left. False: the stop that cut a child short goes on past this scope, which may
  /// be gone.
  bool complete() noexcept;

  virtual std::exception_ptr body_exception() noexcept = 0;

  std::coroutine_handle<> child_finished() noexcept final { return body_ended(); }
  bool before_unwinding(const detail::unwind_point& from) noexcept final;
  verdict stopped() noexcept final;
  detail::promise_base* drained(detail::optional_guard<detail::spin_lock>& guard) noexcept final;
  [[nodiscard]] const detail::promise_base* suspended_around() const noexcept final {
    return waits_ == waits::unwinding ? unwinding_.frame : frame;
  }
  [[nodiscard]] const char* name() const noexcept final { return "task_group"; }

  enum class waits : std::uint8_t { joiner, scope, unwinding };
  waits waits_ = waits::scope;                      // for the last child; written before it is asked for
  detail::group_join_operation* joiner_ = nullptr;  // guarded by lock_
  detail::unwind_point unwinding_{};
  bool body_stopped_ = false;
  bool body_failure_kept_ = false;
};

namespace detail {

template <class F>
class [[nodiscard]] group_operation final : public operation_base, private task_group {
  using body_type = std::invoke_result_t<F&, task_group&>;

 public:
  using value_type = typename body_type::value_type;

  template <class G>
  group_operation(bool isolate, G&& body)
      : task_group(isolate ? on_failure::isolate : on_failure::cancel_all),
        isolate_(isolate),
        body_(std::forward<G>(body)) {}
  group_operation(group_operation&& other) noexcept : group_operation(other.isolate_, std::move(other.body_)) {}
  ~group_operation() = default;

  bool ready(const await_context&) const noexcept { return false; }
  std::coroutine_handle<> start(const await_context& context) {
    this->begin(context);
    try {
      running_ = body_(static_cast<task_group&>(*this));
    } catch (...) {
      not_made_ = std::current_exception();
      return this->body_ended();  // a body that is no coroutine may have spawned before it threw
    }
    return running_.start({context.frame, static_cast<boundary*>(static_cast<task_group*>(this)), &this->env()});
  }
  value_type resume() {
    this->end();
    if (not_made_) std::rethrow_exception(not_made_);
    return running_.resume();
  }
  result<value_type> resume_result() noexcept {
    if (failure f = this->end_result()) return f;
    if (not_made_) return failure(not_made_);
    return running_.resume_result();
  }

 private:
  std::exception_ptr body_exception() noexcept override { return not_made_ ? not_made_ : running_.exception(); }

  bool isolate_;
  F body_;
  body_type running_;
  std::exception_ptr not_made_;  // what the call of body_ threw
};

template <class F>
concept group_body =
    std::invocable<std::decay_t<F>&, task_group&> && is_task<std::invoke_result_t<std::decay_t<F>&, task_group&>>;

}  // namespace detail

/// Runs `body(task_group&)`, a function that returns a task, and completes with its value once all children are joined.
/// The first failure, of a child or of the body, cancels the rest, joins them and is rethrown; later failures go to
/// runtime_options::on_error. A child that is stopped alone just ends.
///
/// Cancelled: body and children are stopped, and with them the awaiting task, also if the body had returned and only a
/// child was cut short. A stopped body keeps its locals alive until its children are joined; when it returns or throws,
/// its locals die before that: children may refer to what outlives this call, or the body ends with
/// `co_await group.join()`. `body` itself lives until the end.
template <detail::group_body F>
auto with_task_group(F&& body) {
  WEIR_DETAIL_REQUIRE_NAMED(F);
  return detail::group_operation<std::decay_t<F>>(false, std::forward<F>(body));
}

/// The same, but a child that fails ends alone: the failure is counted, and goes to its join handle, or where nobody
/// joins, to runtime_options::on_error. A failed body cancels the children, joins them and is rethrown.
template <detail::group_body F>
auto with_supervisor(F&& body) {
  WEIR_DETAIL_REQUIRE_NAMED(F);
  return detail::group_operation<std::decay_t<F>>(true, std::forward<F>(body));
}

}  // namespace weir
