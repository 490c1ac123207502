#include "worker_pool_core.hpp"

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <utility>

#include "../../runtime/as_result.hpp"
#include "../../runtime/detail/group_core.hpp"
#include "../../runtime/detail/machine.hpp"
#include "../../runtime/detail/scheduler.hpp"
#include "../../runtime/sleep.hpp"
#include "../../runtime/with_cancellation.hpp"
#include "../../runtime/with_timeout.hpp"
#include "../../sync/select.hpp"
#include "job_locals.hpp"

namespace weir::detail {

namespace {

template <class T>
void raise_to(std::atomic<T>& most, T value) noexcept {
  T seen = most.load(std::memory_order_relaxed);
  while (seen < value && !most.compare_exchange_weak(seen, value, std::memory_order_relaxed)) {
  }
}

worker_pool_options checked(worker_pool_options o) {
  const auto refuse = [](const char* sentence) { throw std::invalid_argument(sentence); };
  if (o.workers == 0) o.workers = usable_cpus();
  if (o.most_workers == 0) o.most_workers = o.workers;
  if (o.most_workers < o.workers) refuse("weir::worker_pool: most_workers is less than workers");
  if (o.queue == worker_pool_options::by_workers) o.queue = 3 * o.most_workers;
  if (o.queue == 0 && o.order != job_order::fifo) refuse("weir::worker_pool: a pool that orders its jobs has a queue");
  if (o.grow_after <= duration::zero()) refuse("weir::worker_pool: grow_after is more than nothing");
  if (o.aging <= duration::zero()) refuse("weir::worker_pool: aging is more than nothing");
  if (o.high_water > o.queue) refuse("weir::worker_pool: the queue never rises to high_water");
  return o;
}

}  // namespace

worker_pool_core::worker_pool_core(const worker_pool_options& options, task_group* group)
    : options_(checked(options)),
      queue_(options_.queue, options_.order, options_.aging),
      group_(group),
      least_(options_.workers),
      most_(options_.most_workers) {
  if (!group) tasks_.emplace();
}

// ---- who submits

void worker_pool_core::prepare(pool_job& job, const submit_options& options) {
  if (!started_.load(std::memory_order_relaxed)) started_.store(true, std::memory_order_relaxed);
  job.deadline = options.deadline;
  if (const environment* const env = current_environment()) job.locals = local_value::retain(env->locals);
  bool timed = tracks_each_;
  if (timed) {
    job.id = last_id_.fetch_add(1, std::memory_order_relaxed) + 1;
  } else if (options_.time_every != 0) {
    // Two that count at once may count as one.
    const unsigned n = sample_.load(std::memory_order_relaxed) + 1;
    timed = n >= options_.time_every;
    sample_.store(timed ? 0 : n, std::memory_order_relaxed);
  }
  if (!timed && !queue_.is_ordered()) return;
  const time_point now = clock::now();
  if (timed) job.submitted = now;
  if (queue_.is_ordered()) job.key = queue_.key_of(job, options, now);
}

job_refusal worker_pool_core::try_admit(pool_job& job, bool& pushed) {
  if (!is_accepting()) return job_refusal::stopped;
  if (lacks_workers()) want_workers();
  if (options_.submit_rate && !job.has_token) {
    if (!options_.submit_rate->try_acquire()) return job_refusal::full;
    job.has_token = true;
  }
  if (!queue_.try_push(job)) {
    if (queue_.is_closed()) return job_refusal::stopped;
    raise_to(most_queued_, options_.queue);
    if (live_.load(std::memory_order_relaxed) < most_.load(std::memory_order_relaxed)) grow(1);
    return job_refusal::full;
  }
  pushed = true;
  after_push(job);
  return job_refusal::none;
}

task<job_refusal> worker_pool_core::enter(worker_pool_core& self, pool_job& job, bool& pushed) {
  if (self.lacks_workers()) self.want_workers();
  if (self.options_.submit_rate && !job.has_token) {
    auto chosen = co_await select_ordered(self.closed_.wait(), self.options_.submit_rate->acquire());
    if (chosen.index() == 0) co_return job_refusal::stopped;
    job.has_token = true;
    const job_refusal at_once = self.try_admit(job, pushed);
    if (at_once != job_refusal::full) co_return at_once;
  }
  const bool got_in = co_await self.queue_.push(job, pushed);
  if (!got_in) co_return job_refusal::stopped;
  self.after_push(job);
  co_return job_refusal::none;
}

task<job_refusal> worker_pool_core::admit(std::shared_ptr<worker_pool_core> self, pool_job& job, time_point due,
                                          bool& pushed) {
  job_refusal answer = job_refusal::late;
  if (due == no_deadline) {
    answer = co_await enter(*self, job, pushed);
  } else {
    auto entered = co_await as_result(with_deadline(due, enter(*self, job, pushed)));
    if (entered.has_value()) {
      answer = *entered;
    } else if (entered.error() != std::errc::timed_out) {
      std::rethrow_exception(entered.exception());
    }
  }
  if (answer != job_refusal::none) self->count_refused();
  co_return std::move(answer);
}

void worker_pool_core::after_push(const pool_job& job) {
  const std::size_t live = live_.load(std::memory_order_relaxed);
  if (live == 0) want_workers();
  if (options_.high_water != 0 || job.submitted != pool_job::not_timed) note_depth();
  const std::size_t most = most_.load(std::memory_order_relaxed);
  if (live < most && !watching_.load(std::memory_order_relaxed) && queue_.size() != 0) start_watch();
}

void worker_pool_core::note_depth() {
  const std::size_t depth = queue_.size();
  if (depth > most_queued_.load(std::memory_order_relaxed)) raise_to(most_queued_, depth);
  if (options_.high_water == 0) return;
  if (depth >= options_.high_water) {
    if (above_high_water_.load(std::memory_order_relaxed) || above_high_water_.exchange(true)) return;
    high_waters_.fetch_add(1, std::memory_order_relaxed);
    if (high_water_call_) high_water_call_(depth);
  } else if (depth < (options_.high_water + 1) / 2 && above_high_water_.load(std::memory_order_relaxed)) {
    above_high_water_.store(false);
  }
}

// ---- workers

void worker_pool_core::want_workers() {
  std::size_t missing = 0;
  {
    const std::lock_guard guard(lock_);
    const std::size_t live = live_.load(std::memory_order_relaxed);
    const std::size_t least = least_.load(std::memory_order_relaxed);
    if (is_accepting()) {
      if (live >= least) return;
      missing = least - live;
    } else if (live != 0) {
      return;
    }
  }
  if (missing == 0) return answer_queued(nullptr);  // it was closed since, and nobody will come
  grow(missing);
}

void worker_pool_core::grow(std::size_t more) {
  for (; more != 0; --more) {
    {
      const std::lock_guard guard(lock_);
      const std::size_t live = live_.load(std::memory_order_relaxed);
      if (!is_accepting() || live >= most_.load(std::memory_order_relaxed)) return;
      if (live != 0 && reopen_at_ != time_point::min() && clock::now() < reopen_at_) return;
      live_.store(live + 1, std::memory_order_relaxed);
      if (live + 1 > most_live_.load(std::memory_order_relaxed)) most_live_.store(live + 1, std::memory_order_relaxed);
    }
    worker_place place(shared_from_this());
    // Refused when the runtime ends: then the place has gone with the task.
    if (!spawn(&worker_pool_core::run_worker, std::move(place))) return;
  }
}

task<> worker_pool_core::run_worker(worker_place place) {
  worker_pool_core& pool = place.pool();
  // Not the task_locals of who came first: each job has its own.
  auto ended = co_await as_result(with_cancellation(pool.cancelling_.token(), in_locals(nullptr, pool.work(place))));
  if (!ended.has_value() && !ended.is_cancelled()) report_unobserved(ended.exception());
}

bool worker_pool_core::leave(worker_place& place, const std::atomic<std::size_t>& limit) noexcept {
  const std::lock_guard guard(lock_);
  const std::size_t live = live_.load(std::memory_order_relaxed);
  if (live <= limit.load(std::memory_order_relaxed)) return false;
  live_.store(live - 1, std::memory_order_relaxed);
  place.left();
  return true;
}

bool worker_pool_core::leave_idle(worker_place& place) {
  if (!leave(place, least_)) return false;
  // Somebody may have come at this moment, when there could be no more workers, and have started no watch.
  if (queue_.size() != 0) start_watch();
  return true;
}

void worker_pool_core::failed_to_open(worker_place& place, std::exception_ptr why) noexcept {
  open_failures_.fetch_add(1, std::memory_order_relaxed);
  {
    const std::lock_guard guard(lock_);
    reopen_at_ = add_saturated(clock::now(), options_.reopen_after);
  }
  place.fail(std::move(why));
}

void worker_pool_core::worker_ended(bool counted, const std::exception_ptr& why) noexcept {
  if (!counted) return;
  bool accepting = false;
  {
    const std::lock_guard guard(lock_);
    const std::size_t live = live_.load(std::memory_order_relaxed) - 1;
    live_.store(live, std::memory_order_relaxed);
    if (live != 0) return;
    accepting = is_accepting();
  }
  if (accepting && !why) return cancel(cancellation_cause::shutdown);  // it was stopped from outside
  answer_queued(why);
  if (!accepting) end();
}

void worker_pool_core::answer_queued(const std::exception_ptr& why) noexcept {
  while (pool_job* const job = queue_.try_pop()) {
    if (why) {
      job->ending = job_ending::failed;
      job->error = why;
      unbegun_failed_.fetch_add(1, std::memory_order_relaxed);
    } else {
      job->ending = job_ending::cancelled;
      job->cause = cause_of_stop();
      unbegun_cancelled_.fetch_add(1, std::memory_order_relaxed);
    }
    settle(*job);
  }
}

void worker_pool_core::note_wait(duration length) noexcept {
  timed_.fetch_add(1, std::memory_order_relaxed);
  waited_.fetch_add(length.count(), std::memory_order_relaxed);
  raise_to(longest_wait_, length.count());
}

// ---- growing with the waiting time

void worker_pool_core::start_watch() {
  if (!is_accepting() || watching_.exchange(true)) return;
  if (!spawn(&worker_pool_core::watch, shared_from_this())) watching_.store(false);
}

task<> worker_pool_core::watch(std::shared_ptr<worker_pool_core> self) {
  const duration half = std::max<duration>(self->options_.grow_after / 2, duration(1));
  for (;;) {
    // Who came before two looks ago and has not been served has waited for all of grow_after.
    std::uint64_t before = self->came();
    std::uint64_t between = before;
    for (int looks = 0;; ++looks) {
      auto slept = co_await as_result(with_cancellation(self->no_more_jobs_.token(), sleep_for(half)));
      if (!slept.has_value()) co_return;
      const std::uint64_t now_served = self->served();
      if (looks != 0 && before > now_served) self->grow(before - now_served);
      before = std::exchange(between, self->came());
      if (self->live_.load(std::memory_order_relaxed) >= self->most_.load(std::memory_order_relaxed)) break;
      if (self->queue_.size() == 0) break;
    }
    self->watching_.store(false);
    // Somebody may have come meanwhile and have left it to this task.
    if (self->live_.load(std::memory_order_relaxed) >= self->most_.load(std::memory_order_relaxed)) co_return;
    const bool mine = self->queue_.size() != 0 && !self->watching_.exchange(true);
    if (!mine) co_return;
  }
}

// ---- who has the pool

bool worker_pool_core::close(pool_state next) noexcept {
  bool none_left = false;
  {
    const std::lock_guard guard(lock_);
    if (state_.load(std::memory_order_relaxed) >= next) return false;
    state_.store(next, std::memory_order_release);
    none_left = live_.load(std::memory_order_relaxed) == 0;
  }
  closed_.set();
  queue_.close();
  no_more_jobs_.request_cancellation();
  return none_left;
}

void worker_pool_core::end() noexcept {
  {
    const std::lock_guard guard(lock_);
    if (state_.load(std::memory_order_relaxed) == pool_state::ended) return;
    state_.store(pool_state::ended, std::memory_order_release);
  }
  on_ended();
  ended_.set();
}

void worker_pool_core::cancel(cancellation_cause cause) noexcept {
  if (state() < pool_state::cancelling) cause_.store(cause, std::memory_order_relaxed);
  const bool none_left = close(pool_state::cancelling);
  if (state() != pool_state::cancelling) return;
  // What waits is answered before the workers are told: no job is begun after this.
  answer_queued(nullptr);
  cancelling_.request_cancellation();
  if (none_left) end();
}

task<std::size_t> worker_pool_core::shutdown(std::shared_ptr<worker_pool_core> self, shutdown_mode mode,
                                             duration limit) {
  if (mode == shutdown_mode::cancel) {
    self->cancel();
  } else {
    if (self->close(pool_state::draining)) {
      self->answer_queued(nullptr);
      self->end();
    }
    auto drained = co_await as_result(with_timeout(limit, self->ended_.wait()));
    if (!drained.has_value()) self->cancel();
  }
  co_await self->ended_.wait();
  if (self->tasks_) {
    // They have nothing more to do, but may not have ended.
    auto turn = co_await self->joining_.lock();
    co_await self->tasks_->shutdown();
  }
  co_return self->counters_.dropped() + self->unbegun_cancelled_.load(std::memory_order_relaxed);
}

void worker_pool_core::resize(std::size_t least, std::size_t most) {
  if (least == 0 || most < least) {
    throw std::invalid_argument("weir::worker_pool: resize() to at least one worker, and at most as many as at most");
  }
  {
    const std::lock_guard guard(lock_);
    least_.store(least, std::memory_order_relaxed);
    most_.store(most, std::memory_order_relaxed);
  }
  if (!has_started() || !is_accepting()) return;
  want_workers();
  // Those who wait for a job look up, and see whether they are still wanted. While one waits nothing lies in the queue.
  for (std::size_t n = live_.load(std::memory_order_relaxed); n > least && queue_.size() == 0; --n) queue_.rouse();
}

void worker_pool_core::on_high_water(std::function<void(std::size_t)> call) {
  if (has_started()) throw std::logic_error("weir::worker_pool: on_high_water() comes before the first job");
  if (options_.high_water == 0) throw std::logic_error("weir::worker_pool: on_high_water() without options.high_water");
  high_water_call_ = std::move(call);
}

pool_stats worker_pool_core::stats() const noexcept {
  pool_stats s;
  s.state = state();
  // Endings first and arrivals last, so that the latter are not fewer.
  const std::uint64_t unbegun_failed = unbegun_failed_.load(std::memory_order_acquire);
  const std::uint64_t unbegun_cancelled = unbegun_cancelled_.load(std::memory_order_acquire);
  s.completed = counters_.out();
  s.failed = counters_.errors() + unbegun_failed;
  s.cancelled = counters_.dropped() + unbegun_cancelled;
  s.busy = counters_.busy();
  s.queued = queue_.size();
  s.accepted = counters_.in() + unbegun_failed + unbegun_cancelled + s.queued;
  s.expired = expired_.load(std::memory_order_relaxed);
  s.refused = refused_.load(std::memory_order_relaxed);
  s.most_queued = std::max(most_queued_.load(std::memory_order_relaxed), s.queued);
  s.high_waters = high_waters_.load(std::memory_order_relaxed);
  s.workers = live_.load(std::memory_order_relaxed);
  s.most_workers = most_live_.load(std::memory_order_relaxed);
  s.open_failures = open_failures_.load(std::memory_order_relaxed);
  s.timed = timed_.load(std::memory_order_relaxed);
  s.waited = duration(waited_.load(std::memory_order_relaxed));
  s.longest_wait = duration(longest_wait_.load(std::memory_order_relaxed));
  s.ran = duration(ran_.load(std::memory_order_relaxed));
  return s;
}

}  // namespace weir::detail
