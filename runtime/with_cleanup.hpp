#pragma once

#include <exception>
#include <utility>

#include "detail/invoke.hpp"
#include "detail/light_std.hpp"
#include "detail/operation.hpp"
#include "detail/slot.hpp"
#include "task.hpp"
#include "with_timeout.hpp"

namespace weir {

/// How the operation of a with_cleanup ended, for its cleanup.
class cleanup_outcome {
 public:
  explicit cleanup_outcome(std::exception_ptr exception, bool stopped) noexcept
      : exception_(std::move(exception)), stopped_(stopped) {}
  [[nodiscard]] bool has_value() const noexcept { return !stopped_ && !exception_; }
  [[nodiscard]] bool is_stopped() const noexcept { return stopped_; }
  /// Null unless it threw.
  [[nodiscard]] const std::exception_ptr& exception() const noexcept { return exception_; }

 private:
  std::exception_ptr exception_;
  bool stopped_;
};

namespace detail {

/// The part that does not depend on types: the two steps, operation and cleanup, and what goes on after the second.
class cleanup_core : public boundary {
 protected:
  ~cleanup_core() = default;

  void begin(const await_context& context) noexcept;
  void end() noexcept;
  [[nodiscard]] await_context inner_context() noexcept { return {frame, this, outer_env_}; }
  /// The cleanup's own failure, when it is to be reported in place of a value.
  [[nodiscard]] const std::exception_ptr& cleanup_failure() const noexcept { return cleanup_failure_; }

  virtual std::exception_ptr inner_exception() noexcept = 0;
  virtual task<> make_cleanup(const cleanup_outcome& outcome) = 0;
  [[nodiscard]] static task<> within(duration limit, task<> cleanup);

 private:
  /// Stands around the cleanup task.
  class second_step final : public boundary {
   public:
    explicit second_step(cleanup_core& core) noexcept : core_(core) {}
    std::coroutine_handle<> child_finished() noexcept override { return core_.cleanup_finished(); }
    verdict stopped() noexcept override { return verdict::propagate; }  // shielded: it does not happen
    [[nodiscard]] const char* name() const noexcept override { return "with_cleanup (cleaning up)"; }

   private:
    cleanup_core& core_;
  };

  std::coroutine_handle<> child_finished() noexcept final;
  verdict stopped() noexcept final;
  [[nodiscard]] const char* name() const noexcept final { return "with_cleanup"; }
  /// Prepares the cleanup; null when it could not even be made.
  promise_base* start_cleanup(std::exception_ptr exception, bool stopped) noexcept;
  std::coroutine_handle<> cleanup_finished() noexcept;
  void note_cleanup_failure(std::exception_ptr exception) noexcept;

  environment* outer_env_ = nullptr;
  environment shield_;
  second_step second_{*this};
  slot<cleanup_outcome> outcome_;
  task<> cleanup_;
  std::exception_ptr cleanup_failure_;
};

template <class T, class F>
class [[nodiscard]] cleanup_operation final : public operation_base, private cleanup_core {
 public:
  using value_type = T;

  template <class G>
  cleanup_operation(task<T>&& inner, G&& fn, duration limit)
      : inner_(std::move(inner)), fn_(std::forward<G>(fn)), limit_(limit) {}
  cleanup_operation(cleanup_operation&& other) noexcept
      : operation_base(),
        cleanup_core(),
        inner_(std::move(other.inner_)),
        fn_(std::move(other.fn_)),
        limit_(other.limit_) {}
  ~cleanup_operation() = default;

  bool ready(const await_context&) const noexcept { return false; }
  std::coroutine_handle<> start(const await_context& context) {
    begin(context);
    return inner_.start(inner_context());
  }
  T resume() {
    end();
    if (cleanup_failure()) std::rethrow_exception(cleanup_failure());
    return inner_.resume();
  }
  result<T> resume_result() noexcept {
    end();
    if (cleanup_failure()) return failure(cleanup_failure());
    return inner_.resume_result();
  }

 private:
  std::exception_ptr inner_exception() noexcept override { return inner_.exception(); }
  task<> make_cleanup(const cleanup_outcome& outcome) override { return within(limit_, detail::invoke(fn_, outcome)); }

  task<T> inner_;
  F fn_;
  duration limit_;
};

}  // namespace detail

/// Runs `op`, then the task `fn(const cleanup_outcome&)`, whether `op` completed, threw or was stopped; then that
/// outcome goes on. The cleanup is shielded from the cancellation that stopped `op` and may take `limit`, after which
/// it is stopped itself. A failure of the cleanup replaces a value; beside an exception or a stop it goes to
/// runtime_options::on_error. When `fn` runs, `op` and its locals are gone if it was stopped. Two frames more than
/// `op`, three when it is no task.
template <detail::operation Op, class F, class Rep, class Period>
  requires(!std::is_lvalue_reference_v<Op>)
auto with_cleanup(Op&& op, F&& fn, std::chrono::duration<Rep, Period> limit) {
  WEIR_DETAIL_REQUIRE_NAMED(F);
  return detail::cleanup_operation<detail::operation_value_t<Op>, std::decay_t<F>>(
      detail::as_task(std::move(op)), std::forward<F>(fn), detail::to_duration(limit));
}

}  // namespace weir
