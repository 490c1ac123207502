#pragma once

#include <coroutine>
#include <cstdint>
#include <exception>
#include <system_error>
#include <utility>

#include "../runtime/as_result.hpp"
#include "../runtime/detail/operation.hpp"
#include "../runtime/detail/take.hpp"
#include "detail/pool_job.hpp"

namespace weir {

namespace detail {

/// Why a job was not accepted.
enum class job_refusal : std::uint8_t { none, full, late, stopped };

[[nodiscard]] failure describe(job_refusal why) noexcept;

template <class R, class... Args>
class submit_operation;
template <class R, class... Args>
class basic_worker_pool;

}  // namespace detail

/// Stands for a job that a pool has accepted, or says why it has not: what submit() and try_submit() give.
///
///     auto ticket = co_await pool.submit(n);
///     int answer = co_await std::move(ticket);
///
/// Awaited, once, it completes with what the job returned; throws what the job threw, `timed_out` when the job ran out
/// of time, and `cancelled` when the pool was. One that is false, because the job was not accepted, fails at once with
/// error(). So no submit needs a look at whether it was accepted, if its ticket is awaited.
///
/// Cancelled while waiting: stops, and the job goes on, as it does when the ticket is dropped. Then nobody is told what
/// becomes of it, but stats() counts it. Move-only, a pointer in size; it may outlive the pool, and be awaited in
/// another runtime than the one that submitted. Allocates nothing; O(1).
template <class R>
class [[nodiscard]] job_ticket : public detail::operation_base {
 public:
  using value_type = R;

  job_ticket() = default;
  job_ticket(job_ticket&& other) noexcept
      : operation_base(), job_(detail::take(other.job_)), refusal_(other.refusal_) {}
  job_ticket& operator=(job_ticket&& other) noexcept {
    job_ticket taken(std::move(other));
    detail::trade(job_, taken.job_);
    detail::trade(refusal_, taken.refusal_);
    return *this;
  }
  ~job_ticket() { drop(); }

  /// Whether the job was accepted.
  explicit operator bool() const noexcept { return job_ != nullptr; }
  /// Why it was not: std::errc::resource_unavailable_try_again (no room), std::errc::timed_out (no room in time), or
  /// std::errc::operation_canceled (the pool has been shut down). Empty when it was.
  [[nodiscard]] std::error_code error() const noexcept {
    return job_ ? std::error_code() : detail::describe(refusal_).code();
  }
  /// The number by which the pool's stream calls the job, from 1 in the order of submission; 0 without a stream.
  [[nodiscard]] std::uint64_t id() const noexcept { return job_ ? job_->id : 0; }
  /// Whether the job has ended.
  [[nodiscard]] bool done() const noexcept { return !job_ || job_->ended.happened(); }
  /// Completes when the job has ended, and leaves the ticket as it is: for select(). The ticket must stay where it is
  /// meanwhile, and be one of an accepted job.
  [[nodiscard]] detail::completion_wait_operation wait() noexcept WEIR_DETAIL_LIFETIMEBOUND {
    WEIR_DETAIL_ASSERT(job_, "wait() with a ticket of no job");
    return {job_->ended, name()};
  }

  // The operation protocol.
  bool ready(const detail::await_context& context) noexcept {
    return !job_ || (job_->ended.happened() && detail::leaf::may_complete_in(*context.env));
  }
  std::coroutine_handle<> start(const detail::await_context& context) noexcept {
    job_->wait.emplace(job_->ended, name());
    return job_->wait->start(context);
  }
  R resume() {
    if (!job_) detail::describe(refusal_).rethrow();
    const release last{*this};
    return job_->take();
  }
  result<R> resume_result() noexcept {
    if (!job_) return detail::describe(refusal_);
    const release last{*this};
    try {
      return job_->take_result();
    } catch (...) {  // the value's move threw
      return detail::failure(std::current_exception());
    }
  }

 private:
  template <class, class...>
  friend class detail::submit_operation;
  template <class, class...>
  friend class detail::basic_worker_pool;

  explicit job_ticket(detail::pool_job_of<R>& job) noexcept : job_(&job) {}
  explicit job_ticket(detail::job_refusal why) noexcept : refusal_(why) {}

  static constexpr const char* name() noexcept { return "job_ticket"; }

  /// At the end of resume(): the job has ended, and nobody else has it.
  struct release {
    explicit release(job_ticket& t) noexcept : of(t) {
      if (of.job_->wait) of.job_->wait->resume();
    }
    release(const release&) = delete;
    release& operator=(const release&) = delete;
    ~release() { delete detail::take(of.job_); }
    job_ticket& of;
  };

  void drop() noexcept {
    detail::pool_job* const job = detail::take(job_);
    if (job && job->ended.let_go()) delete job;
  }

  detail::pool_job_of<R>* job_ = nullptr;
  detail::job_refusal refusal_ = detail::job_refusal::stopped;
};

}  // namespace weir
