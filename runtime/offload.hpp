#pragma once

#include <atomic>
#include <concepts>
#include <optional>
#include <type_traits>
#include <utility>

#include "cancellation.hpp"
#include "detail/invoke.hpp"
#include "detail/offload_job.hpp"
#include "detail/operation.hpp"

namespace weir {
namespace detail {

/// The part of offload that does not depend on types.
class offload_core : public leaf, private offload_job {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "offload"; }

 protected:
  offload_core() = default;
  offload_core(const offload_core& other) noexcept : leaf(other), offload_job(other) {}
  ~offload_core() = default;

  void submit(const await_context& context) noexcept;

 private:
  virtual void call() noexcept = 0;
  virtual void refuse() noexcept = 0;  // no thread could be started
  void run() noexcept override;
  void request_stop(cancellation_cause) noexcept override;

  runtime_core* runtime_ = nullptr;
  std::atomic<bool> withdrawn_{false};
};

template <class F>
using offload_result_t =
    typename std::conditional_t<std::invocable<F&, cancellation_token>, std::invoke_result<F&, cancellation_token>,
                                std::invoke_result<F&>>::type;

template <class F>
class [[nodiscard]] offload_operation final : public operation_base, public offload_core {
 public:
  using value_type = offload_result_t<F>;

  template <class G>
    requires std::constructible_from<F, G&&>
  explicit offload_operation(std::in_place_t, G&& function) : function_(std::forward<G>(function)) {}
  offload_operation(offload_operation&& other) noexcept
      : operation_base(), offload_core(other), function_(std::move(other.function_)) {}
  ~offload_operation() = default;

  bool ready(const await_context&) const noexcept { return false; }
  std::coroutine_handle<> start(const await_context& context) noexcept {
    submit(context);
    return std::noop_coroutine();
  }
  value_type resume() { return resume_result().value(); }
  result<value_type> resume_result() noexcept {
    finish();
    return std::move(*result_);
  }

 private:
  void call() noexcept override {
    result_.emplace(capture<value_type>([this]() -> value_type {
      if constexpr (std::invocable<F&, cancellation_token>) {
        return detail::invoke(function_, cancellation_token(this->stop()));
      } else {
        return detail::invoke(function_);
      }
    }));
  }
  void refuse() noexcept override {
    result_.emplace(
        failure(std::make_error_code(std::errc::resource_unavailable_try_again), "offload: no thread can be started"));
  }

  F function_;
  std::optional<result<value_type>> result_;
};

}  // namespace detail

/// Runs `function` on a thread of a separate, bounded pool, so that it may block or compute without delaying a worker;
/// completes with what it returns or throws. Jobs start first come, first served.
///
/// Cancelled while queued: it is withdrawn and never runs. Cancelled while it runs: the stop waits for its return;
/// `function` may take a cancellation_token and look at it. The value of a run that ended in time is delivered.
/// `function` lives in the awaiting frame, so it may refer to the task's locals. Allocates nothing. In a simulation it
/// runs at once, on the spot.
template <class F>
  requires std::invocable<std::decay_t<F>&> || std::invocable<std::decay_t<F>&, cancellation_token>
auto offload(F&& function) {
  WEIR_DETAIL_REQUIRE_NAMED(F);
  return detail::offload_operation<std::decay_t<F>>(std::in_place, std::forward<F>(function));
}

}  // namespace weir
