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
#include "detail/take.hpp"
#include "offload.hpp"

namespace weir {
namespace detail {

class abandonable_core;

/// A call that belongs to itself: shared by the operation that waits for it and the pool, the last of which frees it.
/// Either the call's end or a stop claims the waiting leaf; what comes second touches the leaf no more.
class abandonable_job : public offload_job {
 public:
  /// Hands it to the pool, whose reference has been taken.
  void submit() noexcept;
  /// Instead, in a simulation: on the spot.
  void call_here() noexcept;
  /// True: the call has not ended, and whoever waits for it is to be stopped now.
  bool abandon(cancellation_cause cause) noexcept;
  void add_reference() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  void drop_reference() noexcept {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

 protected:
  abandonable_job() = default;
  virtual ~abandonable_job() = default;
  /// Calls the function, keeps the result, and destroys the function.
  virtual void call() noexcept = 0;
  virtual void refuse() noexcept = 0;  // no thread could be started
  [[nodiscard]] cancellation_token token() noexcept { return cancellation_token(&abandoned_); }

 private:
  friend class abandonable_core;
  void run() noexcept final;
  bool claim() noexcept { return !claimed_.exchange(true, std::memory_order_acq_rel); }

  abandonable_core* waiting_ = nullptr;
  plain_state abandoned_;
  std::atomic<bool> claimed_{false};
  std::atomic<std::uint8_t> references_{1};
};

template <class F>
class abandonable_call final : public abandonable_job {
 public:
  using value_type = offload_result_t<F>;

  template <class G>
  explicit abandonable_call(std::in_place_t, G&& function) : function_(std::in_place, std::forward<G>(function)) {}
  result<value_type> take() noexcept { return std::move(*result_); }

 private:
  void call() noexcept override {
    result_.emplace(capture<value_type>([this]() -> value_type {
      if constexpr (std::invocable<F&, cancellation_token>) {
        return detail::invoke(*function_, token());
      } else {
        return detail::invoke(*function_);
      }
    }));
    function_.reset();
  }
  void refuse() noexcept override {
    result_.emplace(failure(std::make_error_code(std::errc::resource_unavailable_try_again),
                            "offload_abandonable: no thread can be started"));
  }

  std::optional<F> function_;
  std::optional<result<value_type>> result_;
};

/// The part of offload_abandonable that does not depend on types.
class abandonable_core : public leaf {
  friend class abandonable_job;

 public:
  [[nodiscard]] const char* name() const noexcept override { return "offload_abandonable"; }

 protected:
  abandonable_core() = default;
  abandonable_core(const abandonable_core& other) noexcept = default;
  ~abandonable_core() = default;

  void submit(const await_context& context, abandonable_job& job) noexcept;

 private:
  void request_stop(cancellation_cause cause) noexcept override;

  abandonable_job* job_ = nullptr;
};

template <class F>
class [[nodiscard]] abandonable_operation final : public operation_base, public abandonable_core {
 public:
  using value_type = offload_result_t<F>;

  template <class G>
    requires std::constructible_from<F, G&&>
  explicit abandonable_operation(std::in_place_t, G&& function)
      : call_(new abandonable_call<F>(std::in_place, std::forward<G>(function))) {}
  abandonable_operation(abandonable_operation&& other) noexcept
      : operation_base(), abandonable_core(other), call_(detail::take(other.call_)) {}
  ~abandonable_operation() {
    if (call_) call_->drop_reference();
  }

  bool ready(const await_context&) const noexcept { return false; }
  std::coroutine_handle<> start(const await_context& context) noexcept {
    submit(context, *call_);
    return std::noop_coroutine();
  }
  value_type resume() { return resume_result().value(); }
  result<value_type> resume_result() noexcept {
    finish();
    return call_->take();
  }

 private:
  abandonable_call<F>* call_;
};

}  // namespace detail

/// Runs `function` on another thread, as offload() does, and does not insist on its end: for calls that may hang, such
/// as a name server's that does not answer. Completes with what it returns or throws.
///
/// Cancelled: the stop is immediate, whether `function` is queued, and then never runs, or running. A late value is
/// destroyed and a late exception dropped. Neither the end of the runtime nor that of main() waits for a call that was
/// abandoned, so `function` may refer to nothing but what it owns: it is moved into a record of its own, and it and
/// its captures are destroyed on the other thread, as soon as it has returned. It may take a cancellation_token, which
/// is cancelled when the call is abandoned.
///
/// The threads are apart from those of offload() and belong to the process: at most 64, started on demand and ended
/// when idle. Calls that hang keep theirs; when all do, further calls are queued. Allocates the record. In a simulation
/// the function runs at once, on the spot.
template <class F>
  requires std::invocable<std::decay_t<F>&> || std::invocable<std::decay_t<F>&, cancellation_token>
auto offload_abandonable(F&& function) {
  static_assert(!std::is_reference_v<detail::offload_result_t<std::decay_t<F>>>,
                "offload_abandonable: a reference would refer to what the function has owned; return a value");
  WEIR_DETAIL_REQUIRE_NAMED(F);
  return detail::abandonable_operation<std::decay_t<F>>(std::in_place, std::forward<F>(function));
}

}  // namespace weir
