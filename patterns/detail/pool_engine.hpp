#pragma once

#include <atomic>
#include <concepts>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <tuple>
#include <type_traits>
#include <utility>

#include "../../runtime/as_result.hpp"
#include "../../runtime/detail/invoke.hpp"
#include "../../runtime/detail/light_std.hpp"
#include "../../runtime/detail/slot.hpp"
#include "../../runtime/offload.hpp"
#include "../../runtime/with_cleanup.hpp"
#include "../../runtime/with_timeout.hpp"
#include "job_locals.hpp"
#include "pool_jobs.hpp"
#include "pool_parts.hpp"
#include "worker_pool_core.hpp"

namespace weir::detail {

template <class R>
task<R> run_in_locals(const local_value* locals, task<R> job) {
  co_return co_await in_locals(locals, std::move(job));
}

/// What workers do.
template <class Parts, class R, class... Args>
class pool_engine final : public pool_jobs<R, Args...> {
  using record = pool_record<R, Args...>;
  using calls = job_call<Parts, Args...>;
  using state_type = typename calls::opened;
  static constexpr bool of_closures = calls::of_closures;
  static constexpr bool is_async = calls::is_async;
  static_assert(of_closures || !calls::possible ||
                    std::same_as<typename unwrapped_task<typename calls::returned>::type, R>,
                "worker_pool: the function returns something else than the pool's jobs do");

 public:
  pool_engine(Parts parts, const worker_pool_options& options, task_group* group)
      : pool_jobs<R, Args...>(options, group), parts_(std::move(parts)) {
    if (is_async && options.offload) {
      throw std::invalid_argument("weir::worker_pool: options.offload is for plain functions, not for tasks");
    }
  }

 private:
  /// Calls the function of a pool with one; what it returns may be a task.
  decltype(auto) call(record& job, state_type& state) {
    const auto with = [&](auto&... as) -> decltype(auto) {
      if constexpr (calls::borrows) {
        return call_with(state, as...);
      } else {
        return call_with(state, std::move(as)...);
      }
    };
    return std::apply(with, *job.arguments);
  }
  template <class... Us>
  decltype(auto) call_with(state_type& state, Us&&... us) {
    if constexpr (Parts::has_state) {
      return detail::invoke(parts_.function, state, std::forward<Us>(us)...);
    } else {
      return detail::invoke(parts_.function, std::forward<Us>(us)...);
    }
  }

  static bool runs_async(record& job) noexcept {
    if constexpr (of_closures) {
      return std::get<0>(*job.arguments).is_async();
    } else {
      return is_async;
    }
  }
  R call_plain(record& job, state_type& state) {
    if constexpr (of_closures) {
      return std::get<0>(*job.arguments).call();
    } else if constexpr (!is_async) {
      return call(job, state);
    } else {
      std::terminate();  // not asked for
    }
  }
  task<R> call_async(record& job, state_type& state) {
    if constexpr (of_closures) {
      return std::get<0>(*job.arguments).start();
    } else if constexpr (is_async) {
      return call(job, state);
    } else {
      std::terminate();  // not asked for
    }
  }

  /// The job behind the middleware from `layer` on.
  template <std::size_t layer>
  task<R> through(record& job, state_type& state) {
    if constexpr (layer < Parts::layers) {
      const auto inner = [this, &job, &state] { return this->template through<layer + 1>(job, state); };
      auto running = std::get<layer>(parts_.middleware)->run(inner);
      co_return co_await std::move(running);
    } else {
      if constexpr (!of_closures && !calls::borrows) {
        if (std::exchange(job.taken, true)) {
          throw std::logic_error(
              "weir::worker_pool: a middleware repeats a job whose arguments can only be moved, and are gone");
        }
      }
      if (runs_async(job)) {
        auto running = call_async(job, state);
        co_return co_await std::move(running);
      }
      if (!this->options_.offload) co_return call_plain(job, state);
      const auto body = [&]() -> R { return call_plain(job, state); };
      co_return co_await offload(body);
    }
  }

  // ---- a worker

  /// A job from when a worker has it until it has ended, one way or another.
  class held_job {
   public:
    held_job(pool_engine& pool, stage_tally& tally, record& job, std::size_t worker) noexcept
        : pool_(pool), tally_(tally), job_(job), worker_(worker) {
      tally_.count_in();
    }
    held_job(const held_job&) = delete;
    held_job& operator=(const held_job&) = delete;
    ~held_job() {
      duration took{};
      if (busy_) {
        tally_.change_busy(-1);
        if (is_timed()) {
          took = clock::now() - begun_;
          pool_.note_run(took);
        }
      }
      if (job_.ending == job_ending::value) {
        tally_.count_out();
      } else if (job_.ending == job_ending::failed) {
        tally_.count_error();
      } else {
        job_.ending = job_ending::cancelled;
        job_.cause = pool_.cause_of_stop();
        tally_.count_dropped();
      }
      pool_.finish(job_, worker_, took);
    }

    record& operator*() const noexcept { return job_; }
    record* operator->() const noexcept { return &job_; }

    void begin() noexcept {
      tally_.change_busy(+1);
      busy_ = true;
      if (!is_timed()) return;
      begun_ = clock::now();
      pool_.note_wait(begun_ - job_.submitted);
    }
    /// What the job has come to.
    void keep(result<R>&& outcome) {
      if (!outcome.has_value()) return job_.fail(outcome.exception());
      store([&]() -> R { return std::move(outcome).value(); });
    }
    template <class F>
    void store(F&& produce) {
      if constexpr (std::is_void_v<R>) {
        produce();
        job_.value.emplace();
      } else {
        job_.value.emplace(produce());
      }
      job_.ending = job_ending::value;
    }

   private:
    [[nodiscard]] bool is_timed() const noexcept { return job_.submitted != pool_job::not_timed; }

    pool_engine& pool_;
    stage_tally& tally_;
    record& job_;
    const std::size_t worker_;
    bool busy_ = false;
    time_point begun_{};
  };

  task<> work(worker_place& place) override {
    if constexpr (Parts::has_state) {
      return serve_with_state(place);
    } else {
      return serve(place, stateless_);
    }
  }

  task<> serve_with_state(worker_place& place) {
    std::optional<state_type> state;
    std::exception_ptr why;
    try {
      if constexpr (is_task<std::invoke_result_t<decltype(parts_.state.open)&>>) {
        auto opening = detail::invoke(parts_.state.open);
        auto opened = co_await std::move(opening);
        state.emplace(std::move(opened));
      } else {
        state.emplace(detail::invoke(parts_.state.open));
      }
    } catch (...) {
      why = std::current_exception();
    }
    if (why) {
      this->failed_to_open(place, std::move(why));
      co_return;
    }
    if constexpr (std::is_same_v<decltype(parts_.state.close), no_close>) {
      co_await serve(place, *state);
    } else {
      const auto closing = [this, &state](const cleanup_outcome&) { return close(*state); };
      co_await with_cleanup(serve(place, *state), closing, this->options_.close_limit);
    }
  }
  task<> close(state_type& state) {
    if constexpr (is_task<std::invoke_result_t<decltype(parts_.state.close)&, state_type&>>) {
      auto closing = detail::invoke(parts_.state.close, state);
      co_await std::move(closing);
    } else {
      detail::invoke(parts_.state.close, state);
      co_return;
    }
  }

  task<> serve(worker_place& place, state_type& state) {
    stage_tally tally(&this->counters_);
    const std::size_t number = workers_.fetch_add(1, std::memory_order_relaxed);
    for (;;) {
      if (this->is_surplus() && this->leave_surplus(place)) co_return;
      pool_item item;
      if (this->may_shrink()) {
        auto next = co_await as_result(with_timeout(this->options_.idle, this->queue_.next()));
        if (!next.has_value()) {
          if (this->leave_idle(place)) co_return;
          continue;
        }
        if (!next->has_value()) co_return;
        item = **next;
      } else {
        auto next = co_await this->queue_.next();
        if (!next) co_return;
        item = *next;
      }
      if (item.look_up) continue;

      std::optional<held_job> mine;
      const bool paced = this->options_.start_rate != nullptr;
      if (!paced || !this->queue_.is_ordered()) {
        if (pool_job* const job = this->queue_.job_of(item)) hold(mine, tally, *job, number);
      }
      std::exception_ptr refused;
      if (paced) {
        auto token = co_await as_result(this->options_.start_rate->acquire());
        if (!token.has_value()) refused = token.exception();
        // The best of those that are there now, and not when the token was asked for.
        if (this->queue_.is_ordered()) {
          if (pool_job* const job = this->queue_.job_of(item)) hold(mine, tally, *job, number);
        }
      }
      if (!mine || this->is_cancelled()) continue;

      record& job = **mine;
      mine->begin();
      time_point due = job.deadline;
      if (due != no_deadline && due <= clock::now()) {
        this->count_expired();
        refused = std::make_exception_ptr(timed_out());
      }
      if (refused) {
        job.fail(std::move(refused));
      } else if (Parts::layers == 0 && !runs_async(job)) {
        if (this->options_.offload) {
          const auto body = [&]() -> R { return call_plain(job, state); };
          auto outcome = co_await as_result(offload(body));
          mine->keep(std::move(outcome));
        } else {
          call_now(*mine, state);
        }
      } else if constexpr (Parts::layers != 0 || of_closures || is_async) {
        task<R> running = start(job, state);
        if (running) {
          if (job.locals) running = run_in_locals(job.locals, std::move(running));
          if (this->options_.job_timeout != duration::max()) {
            due = std::min(due, add_saturated(clock::now(), this->options_.job_timeout));
          }
          if (due != no_deadline) {
            auto outcome = co_await as_result(with_deadline(due, std::move(running)));
            mine->keep(std::move(outcome));
          } else {
            try {
              if constexpr (std::is_void_v<R>) {
                co_await std::move(running);
                mine->store([] {});
              } else {
                auto&& value = co_await std::move(running);
                mine->store([&]() -> R { return std::forward<R>(value); });
              }
            } catch (...) {
              job.fail(std::current_exception());
            }
          }
        }
      }
      if constexpr (Parts::has_failed) {
        if (job.ending == job_ending::failed) co_await tell_failed(job);
      }
    }
  }

  void hold(std::optional<held_job>& mine, stage_tally& tally, pool_job& job, std::size_t number) noexcept {
    mine.emplace(*this, tally, static_cast<record&>(job), number);
  }

  void call_now(held_job& mine, state_type& state) noexcept {
    slot<worn_locals> locals;
    if (mine->locals) locals.emplace(mine->locals);
    try {
      mine.store([&]() -> R { return call_plain(*mine, state); });
    } catch (...) {
      mine->fail(std::current_exception());
    }
  }
  /// An empty task when the call itself threw.
  task<R> start(record& job, state_type& state) noexcept {
    try {
      if constexpr (Parts::layers != 0) {
        return through<0>(job, state);
      } else {
        return call_async(job, state);
      }
    } catch (...) {
      job.fail(std::current_exception());
      return {};
    }
  }

  task<> tell_failed(record& job) {
    const auto tell = [&](auto&... as) { return detail::invoke(parts_.failed.call, as..., std::as_const(job.error)); };
    std::exception_ptr why;
    try {
      if constexpr (is_task<decltype(std::apply(tell, *job.arguments))>) {
        auto telling = std::apply(tell, *job.arguments);
        co_await std::move(telling);
      } else {
        std::apply(tell, *job.arguments);
      }
    } catch (...) {
      why = std::current_exception();
    }
    if (why) report_unobserved(why);
  }

  Parts parts_;
  [[no_unique_address]] no_part stateless_;
  std::atomic<std::size_t> workers_{0};
};

}  // namespace weir::detail
