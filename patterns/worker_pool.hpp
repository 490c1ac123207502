#pragma once

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>

#include "../runtime/clock.hpp"
#include "../runtime/detail/function.hpp"
#include "../runtime/detail/light_std.hpp"
#include "../runtime/detail/operation.hpp"
#include "../runtime/detail/take.hpp"
#include "detail/job_function.hpp"
#include "detail/pool_engine.hpp"
#include "detail/pool_jobs.hpp"
#include "detail/pool_parts.hpp"
#include "detail/worker_pool_core.hpp"
#include "failed_jobs.hpp"
#include "job_result.hpp"
#include "job_ticket.hpp"
#include "pool_stats.hpp"
#include "shutdown_mode.hpp"
#include "worker_pool_options.hpp"
#include "worker_state.hpp"

namespace weir {
namespace detail {

/// What submit() returns: a leaf where there is room, and otherwise the task that waits for some.
template <class R, class... Args>
class [[nodiscard]] submit_operation final : public operation_base {
 public:
  using value_type = job_ticket<R>;

  submit_operation(worker_pool_core& pool, pool_record<R, Args...>& job, duration patience) noexcept
      : pool_(&pool), job_(&job), patience_(patience) {}
  submit_operation(submit_operation&& other) noexcept
      : operation_base(), pool_(other.pool_), job_(detail::take(other.job_)), patience_(other.patience_) {}
  ~submit_operation() {
    if (job_ && (!pushed_ || job_->ended.let_go())) delete job_;
  }

  bool ready(const await_context& context) { return leaf::may_complete_in(*context.env) && try_now(); }
  std::coroutine_handle<> start(const await_context& context) {
    const time_point longest = patience_ == duration::max() ? no_deadline : add_saturated(clock::now(), patience_);
    waiting_ = worker_pool_core::admit(pool_->shared_from_this(), *job_, std::min(job_->deadline, longest), pushed_);
    return waiting_.start(context);
  }
  job_ticket<R> resume() {
    if (waiting_) refusal_ = waiting_.resume();
    return conclude();
  }
  result<job_ticket<R>> resume_result() noexcept {
    return capture<job_ticket<R>>([this] { return resume(); });
  }

  /// Without waiting. False: there is no room.
  bool try_now() {
    refusal_ = pool_->try_admit(*job_, pushed_);
    if (refusal_ == job_refusal::stopped) pool_->count_refused();
    return refusal_ != job_refusal::full;
  }
  job_ticket<R> conclude() noexcept {
    if (refusal_ == job_refusal::none) return job_ticket<R>(*detail::take(job_));
    return job_ticket<R>(refusal_);
  }

 private:
  worker_pool_core* pool_;
  pool_record<R, Args...>* job_;
  duration patience_;
  bool pushed_ = false;
  job_refusal refusal_ = job_refusal::stopped;
  task<job_refusal> waiting_;
};

template <class... Args, class... Us>
consteval bool arguments_fit(std::type_identity<std::tuple<Args...>>, std::type_identity<std::tuple<Us...>>) {
  if constexpr (sizeof...(Args) == sizeof...(Us)) {
    return (std::constructible_from<Args, Us> && ...);
  } else {
    return false;
  }
}

/// What all pools have.
template <class R, class... Args>
class basic_worker_pool {
  using record = pool_record<R, Args...>;
  template <class... Us>
  static constexpr bool fits =
      arguments_fit(std::type_identity<std::tuple<Args...>>(), std::type_identity<std::tuple<Us...>>());

 public:
  basic_worker_pool(const basic_worker_pool&) = delete;
  basic_worker_pool& operator=(const basic_worker_pool&) = delete;

  /// Completes with a ticket once the job has a place: see job_ticket. While the queue is full it waits, first come,
  /// first served; with options.submit_rate for a token before that. When the pool has been shut down, also while this
  /// waits, the ticket is false. Never fails.
  ///
  /// The arguments are moved into the job's record at once. Cancelled while waiting: stops, and they are destroyed; a
  /// job that has its place keeps it, and this completes. In a steady flow it allocates nothing. O(1), with an order
  /// O(log jobs).
  template <class... Us>
    requires fits<Us...>
  [[nodiscard]] auto submit(Us&&... arguments) WEIR_DETAIL_LIFETIMEBOUND {
    return offer(submit_options(), std::forward<Us>(arguments)...);
  }
  /// The same, but waits no longer than `limit`: then the ticket is false, with std::errc::timed_out.
  template <class Rep, class Period, class... Us>
    requires fits<Us...>
  [[nodiscard]] auto submit_for(std::chrono::duration<Rep, Period> limit, Us&&... arguments) WEIR_DETAIL_LIFETIMEBOUND {
    submit_options options;
    options.patience = to_duration(limit);
    return offer(options, std::forward<Us>(arguments)...);
  }
  /// The same with a priority, a deadline or a limit to the waiting.
  template <class... Us>
    requires fits<Us...>
  [[nodiscard]] auto submit_with(const submit_options& options, Us&&... arguments) WEIR_DETAIL_LIFETIMEBOUND {
    return offer(options, std::forward<Us>(arguments)...);
  }

  /// Submits if that takes no waiting; otherwise the ticket is false. What was to be moved into a job that is refused
  /// is where it was. Callable from threads outside of the runtime once the pool has been used in it. O(1), with an
  /// order O(log jobs).
  template <class... Us>
    requires fits<Us...>
  job_ticket<R> try_submit(Us&&... arguments) {
    return try_submit_with(submit_options(), std::forward<Us>(arguments)...);
  }
  template <class... Us>
    requires fits<Us...>
  job_ticket<R> try_submit_with(const submit_options& options, Us&&... arguments) {
    record* const job = make(options, std::forward<Us>(arguments)...);
    submit_operation<R, Args...> attempt(*pool_, *job, duration::max());
    if (!attempt.try_now()) pool_->count_refused();
    job_ticket<R> ticket = attempt.conclude();
    if (!ticket) {
      // NOLINTNEXTLINE(bugprone-use-after-move): what was moved into the job goes back
      std::apply([&](Args&... kept) { (give_back(kept, std::forward<Us>(arguments)), ...); }, *job->arguments);
    }
    return ticket;
  }

  /// What comes of each job as a stream, in the order in which they end; it ends when the last worker has. To be called
  /// once, before the first job: from then on tickets only say that a job has ended, and have a number. The stream
  /// keeps what was not read yet, so nobody waits for a reader, and it can be read after everything else; it holds no
  /// more than the jobs that were accepted. When its receivers have gone, results are dropped.
  [[nodiscard]] receiver<job_result<R>> results() { return pool_->results(); }

  /// Accepts no more jobs, ends the workers, and completes when there is none left, with the number of jobs that got
  /// `cancelled` in place of an outcome, since the pool began. drain: all jobs are done, but after `limit` it goes on
  /// as with cancel. cancel: the jobs that wait are answered at once, and those that run are stopped and waited for.
  ///
  /// Whoever waits in submit() gets a ticket that is false. Idempotent from every state, from several tasks at once:
  /// each call waits for the end, and the most urgent one wins. Cancelled: stops, the pool goes on as it was told, and
  /// it may be called again. A job must not await it, except with a limit: it would wait for itself.
  [[nodiscard]] task<std::size_t> shutdown(shutdown_mode mode = shutdown_mode::drain,
                                           duration limit = duration::max()) {
    return worker_pool_core::shutdown(pool_, mode, limit);
  }
  /// shutdown(cancel) that does not wait. Idempotent. Any thread, unless the pool was made on a confined worker.
  void cancel() noexcept { pool_->cancel(); }

  /// From now on so many workers, or at least and at most so many. New ones start at once; those who are too many end
  /// after their job. Throws std::invalid_argument for none.
  void resize(std::size_t workers) { pool_->resize(workers, workers); }
  void resize(std::size_t workers, std::size_t most_workers) { pool_->resize(workers, most_workers); }

  [[nodiscard]] pool_stats stats() const noexcept { return pool_->stats(); }
  [[nodiscard]] pool_state state() const noexcept { return pool_->state(); }
  /// Before the first job: `call(depth)` when the queue has risen to options.high_water, by who submits, and not again
  /// before it has been below half of that. It must not throw.
  void on_high_water(std::function<void(std::size_t)> call) { pool_->on_high_water(std::move(call)); }

 protected:
  explicit basic_worker_pool(std::shared_ptr<pool_jobs<R, Args...>> pool) noexcept : pool_(std::move(pool)) {}
  ~basic_worker_pool() { pool_->cancel(); }

  template <class Parts>
  static std::shared_ptr<pool_jobs<R, Args...>> make_engine(Parts parts, const worker_pool_options& options,
                                                            task_group* group) {
    return std::make_shared<pool_engine<Parts, R, Args...>>(std::move(parts), options, group);
  }

 private:
  template <class... Us>
  record* make(const submit_options& options, Us&&... arguments) {
    if constexpr ((std::is_same_v<Args, job_function<R>> || ...)) {
      (require_named<Us>(), ...);
    }
    auto* const job = new record(std::in_place, std::forward<Us>(arguments)...);
    pool_->prepare(*job, options);
    return job;
  }
  template <class... Us>
  submit_operation<R, Args...> offer(const submit_options& options, Us&&... arguments) {
    return {*pool_, *make(options, std::forward<Us>(arguments)...), options.patience};
  }
  template <class F>
  static void require_named() noexcept {
    WEIR_DETAIL_REQUIRE_NAMED(F);
  }
  template <class Arg, class U>
  static void give_back(Arg& kept, U&& from) {
    if constexpr (std::is_same_v<Arg, U> && std::is_move_assignable_v<Arg> && !std::is_trivially_copyable_v<Arg>) {
      from = std::move(kept);
    }
  }

  std::shared_ptr<pool_jobs<R, Args...>> pool_;
};

/// For with_worker_pool(): the group whose children the pool's tasks are.
struct pool_group {
  task_group* group;
};

}  // namespace detail

/// Does jobs with a bounded number of tasks, behind a bounded queue.
///
///     weir::worker_pool pool{resize_image, {.workers = 8, .queue = 32}};
///     auto ticket = co_await pool.submit("cat.png");   // waits while the queue is full
///     image small = co_await std::move(ticket);        // or drop it: the job is done all the same
///     ...
///     co_await pool.shutdown(weir::shutdown_mode::drain, 10s);
///
/// One function does all jobs: an ordinary one, or one that returns a task. `worker_pool<R(Args...)>` is deduced from
/// it; where the pool is a member, write that. Behind the options, in any order, may stand: worker_state(...), which
/// gives each worker something of its own; failed_jobs(...), which hears of jobs that fail; and middleware, through
/// which each job runs: objects `w` with `w.run(function)` that complete with what `function()`, a task, does, kept by
/// reference, the first outermost. `worker_pool<R()>` is a pool of closures.
///
/// Every job that was accepted has one outcome: it returned, it failed, or it was cancelled with the pool. Its ticket
/// tells which, and so does stats(). A job that throws harms nobody else. A job has the pool's token, that is the
/// runtime's own, and no deadline but its own; it sees the task_locals of whoever submitted it. A job must not wait for
/// a job of its own pool: when all workers do, nobody is left to do those.
///
/// Workers start with the first job, on the runtime of whoever submits that. Destroyed without shutdown(), the pool
/// cancels and leaves the joining to the runtime: then jobs may refer only to what outlives run(); see
/// with_worker_pool() for those that refer to what is around. It must outlive the calls on it, not the tickets. Any
/// task of any runtime may use it; one that was made on a confined worker belongs to that.
///
/// In a steady flow neither the pool nor a job of a plain function allocates.
template <class Signature>
class worker_pool;

/// A pool whose jobs are calls of one function; see worker_pool.
template <class R, class... Args>
class worker_pool<R(Args...)> : public detail::basic_worker_pool<R, Args...> {
  using base = detail::basic_worker_pool<R, Args...>;
  static_assert(((std::is_object_v<Args> && std::is_same_v<Args, std::remove_cv_t<Args>>) && ...),
                "worker_pool<R(Args...)>: jobs keep their arguments, so they are plain object types");

 public:
  /// Throws std::invalid_argument where the options make no sense.
  template <class F, class... Extras>
    requires(!std::is_same_v<std::remove_cvref_t<F>, detail::pool_group> &&
             !std::is_same_v<std::remove_cvref_t<F>, worker_pool>)
  explicit worker_pool(F&& function, const worker_pool_options& options = {}, Extras&&... extras)
      : worker_pool(detail::pool_group{nullptr}, std::forward<F>(function), options, std::forward<Extras>(extras)...) {}
  template <class F, class... Extras>
  worker_pool(detail::pool_group in, F&& function, const worker_pool_options& options, Extras&&... extras)
      : base(base::make_engine(
            detail::make_parts(std::decay_t<F>(std::forward<F>(function)), std::forward<Extras>(extras)...), options,
            in.group)) {}
};

/// A pool of closures: each job is a callable of its own, without arguments, that returns R or a task<R>.
///
///     weir::worker_pool<void()> pool{{.workers = 4}};
///     auto ticket = co_await pool.submit(send_report);
template <class R>
class worker_pool<R()> : public detail::basic_worker_pool<R, detail::job_function<R>> {
  using base = detail::basic_worker_pool<R, detail::job_function<R>>;

 public:
  template <class... Extras>
  explicit worker_pool(const worker_pool_options& options = {}, Extras&&... extras)
      : worker_pool(detail::pool_group{nullptr}, options, std::forward<Extras>(extras)...) {}
  template <class... Extras>
  worker_pool(detail::pool_group in, const worker_pool_options& options, Extras&&... extras)
      : base(base::make_engine(detail::make_parts(detail::call_job_function(), std::forward<Extras>(extras)...),
                               options, in.group)) {}
};

template <class F>
worker_pool(F) -> worker_pool<detail::pool_signature<F>>;
template <class F, class... Extras>
worker_pool(F, worker_pool_options, Extras&&...) -> worker_pool<detail::pool_signature<F, Extras...>>;

}  // namespace weir
