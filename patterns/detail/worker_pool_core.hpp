#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>

#include "../../runtime/cancellation.hpp"
#include "../../runtime/detail/function.hpp"
#include "../../runtime/detail/owned_tasks.hpp"
#include "../../runtime/detail/slot.hpp"
#include "../../runtime/task.hpp"
#include "../../runtime/task_group.hpp"
#include "../../sync/event.hpp"
#include "../../sync/mutex.hpp"
#include "../job_ticket.hpp"
#include "../pool_stats.hpp"
#include "../shutdown_mode.hpp"
#include "../stage_counters.hpp"
#include "../worker_pool_options.hpp"
#include "pool_job.hpp"
#include "pool_queue.hpp"

namespace weir::detail {

class worker_place;

/// The part of a worker pool that does not depend on its jobs: the state machine, how many workers there are, and who
/// gets in. The pool and its workers share it.
///
/// Every job that is in the queue is taken out once: by a worker, or by whoever finds that no worker will come. The
/// latter is settled by an order of steps. Who submits puts the job in and looks then whether there are workers; who
/// ends the last of them, or closes the queue while there is none, says so first and looks then for jobs.
class worker_pool_core : public std::enable_shared_from_this<worker_pool_core> {
 public:
  /// With a group, which must outlive all of it, the tasks are children of that one. Throws std::invalid_argument.
  worker_pool_core(const worker_pool_options& options, task_group* group);
  worker_pool_core(const worker_pool_core&) = delete;
  worker_pool_core& operator=(const worker_pool_core&) = delete;
  virtual ~worker_pool_core() = default;

  // ---- who submits

  /// A job's first steps, before it is offered to the queue.
  void prepare(pool_job& job, const submit_options& options);
  /// Without waiting. `pushed` is true from when a worker may have the job, also when something is thrown after that.
  [[nodiscard]] job_refusal try_admit(pool_job& job, bool& pushed);
  /// Waits, at most until `due`. Stopped before `pushed`, it has left the job as it was.
  [[nodiscard]] static task<job_refusal> admit(std::shared_ptr<worker_pool_core> self, pool_job& job, time_point due,
                                               bool& pushed);
  void count_refused() noexcept { refused_.fetch_add(1, std::memory_order_relaxed); }
  [[nodiscard]] bool is_accepting() const noexcept {
    return state_.load(std::memory_order_acquire) == pool_state::running;
  }

  // ---- who has the pool

  [[nodiscard]] static task<std::size_t> shutdown(std::shared_ptr<worker_pool_core> self, shutdown_mode mode,
                                                  duration limit);
  void cancel(cancellation_cause cause = cancellation_cause::requested) noexcept;
  void resize(std::size_t least, std::size_t most);
  [[nodiscard]] pool_stats stats() const noexcept;
  [[nodiscard]] pool_state state() const noexcept { return state_.load(std::memory_order_acquire); }
  /// Before the first job.
  void on_high_water(std::function<void(std::size_t)> call);
  [[nodiscard]] bool has_started() const noexcept { return started_.load(std::memory_order_relaxed); }

 protected:
  // ---- a worker

  /// Does jobs until it is not wanted any more.
  virtual task<> work(worker_place& place) = 0;
  /// Ends a job whose ending is written: tells whoever waits for it.
  virtual void settle(pool_job& job) noexcept = 0;
  /// The last worker has gone, for good.
  virtual void on_ended() noexcept = 0;

  /// A job that a worker has got just now is not to be begun any more.
  [[nodiscard]] bool is_cancelled() const noexcept {
    return state_.load(std::memory_order_acquire) >= pool_state::cancelling;
  }
  /// More workers than there may be.
  [[nodiscard]] bool is_surplus() const noexcept {
    return live_.load(std::memory_order_relaxed) > most_.load(std::memory_order_relaxed);
  }
  /// More than there must be: who has nothing to do may go after a while.
  [[nodiscard]] bool may_shrink() const noexcept {
    return live_.load(std::memory_order_relaxed) > least_.load(std::memory_order_relaxed);
  }
  /// True: the calling worker is counted out, and ends.
  [[nodiscard]] bool leave_surplus(worker_place& place) noexcept { return leave(place, most_); }
  [[nodiscard]] bool leave_idle(worker_place& place);
  /// The calling worker ends because it could not open its state. If it was the last one, the jobs that wait get `why`.
  void failed_to_open(worker_place& place, std::exception_ptr why) noexcept;

  void note_wait(duration length) noexcept;
  void note_run(duration length) noexcept { ran_.fetch_add(length.count(), std::memory_order_relaxed); }
  void count_expired() noexcept { expired_.fetch_add(1, std::memory_order_relaxed); }
  [[nodiscard]] cancellation_cause cause_of_stop() const noexcept { return cause_.load(std::memory_order_relaxed); }
  /// Before the first job: each one gets a number, and its time is taken.
  void track_each() noexcept { tracks_each_ = true; }

  const worker_pool_options options_;
  pool_queue queue_;
  stage_counters counters_;

 private:
  friend class worker_place;

  [[nodiscard]] bool lacks_workers() const noexcept {
    return live_.load(std::memory_order_relaxed) < least_.load(std::memory_order_relaxed);
  }
  /// Starts as many workers as are missing.
  void want_workers();
  /// At most so many, as far as there may be more, and not soon after one could not open its state.
  void grow(std::size_t more);
  [[nodiscard]] static task<> run_worker(worker_place place);
  bool leave(worker_place& place, const std::atomic<std::size_t>& limit) noexcept;
  void worker_ended(bool counted, const std::exception_ptr& why) noexcept;
  /// From now on nothing gets in. True: and there is no worker.
  bool close(pool_state next) noexcept;
  void end() noexcept;
  /// Answers all jobs that wait: with `why`, or when that is null, that they are cancelled.
  void answer_queued(const std::exception_ptr& why) noexcept;
  void after_push(const pool_job& job);
  void note_depth();
  /// Jobs that wait no more, and all that have come.
  [[nodiscard]] std::uint64_t served() const noexcept {
    return counters_.in() + unbegun_failed_.load(std::memory_order_acquire) +
           unbegun_cancelled_.load(std::memory_order_acquire);
  }
  [[nodiscard]] std::uint64_t came() const noexcept { return served() + queue_.size(); }
  /// Sees to it that no job waits longer than options.grow_after while there may be more workers.
  void start_watch();
  [[nodiscard]] static task<> watch(std::shared_ptr<worker_pool_core> self);
  [[nodiscard]] static task<job_refusal> enter(worker_pool_core& self, pool_job& job, bool& pushed);
  template <class F, class... Args>
  bool spawn(F function, Args... arguments) {
    if (!group_) return tasks_->spawn(function, std::move(arguments)...);
    static_cast<void>(group_->spawn(function, std::move(arguments)...));
    return true;
  }

  task_group* const group_;
  slot<owned_tasks> tasks_;  // without a group
  bool tracks_each_ = false;
  std::mutex lock_;  // for what follows, as far as it is written
  std::atomic<pool_state> state_{pool_state::running};
  std::atomic<std::size_t> live_{0};  // workers, from when it was decided to start them
  std::atomic<std::size_t> least_;
  std::atomic<std::size_t> most_;
  std::atomic<std::size_t> most_live_{0};
  time_point reopen_at_ = time_point::min();  // after a worker could not open its state

  std::atomic<cancellation_cause> cause_{cancellation_cause::shutdown};
  cancellation_source cancelling_;    // all workers are to stop
  cancellation_source no_more_jobs_;  // the watch is to end
  event closed_;
  event ended_;
  weir::mutex joining_;

  std::function<void(std::size_t)> high_water_call_;
  std::atomic<bool> above_high_water_{false};
  std::atomic<bool> watching_{false};
  std::atomic<bool> started_{false};
  std::atomic<unsigned> sample_{0};
  std::atomic<std::uint64_t> last_id_{0};
  std::atomic<std::uint64_t> unbegun_failed_{0};
  std::atomic<std::uint64_t> unbegun_cancelled_{0};
  std::atomic<std::uint64_t> refused_{0};
  std::atomic<std::uint64_t> expired_{0};
  std::atomic<std::uint64_t> open_failures_{0};
  std::atomic<std::uint64_t> high_waters_{0};
  std::atomic<std::size_t> most_queued_{0};
  std::atomic<std::uint64_t> timed_{0};
  std::atomic<duration::rep> waited_{0};
  std::atomic<duration::rep> longest_wait_{0};
  std::atomic<duration::rep> ran_{0};
};

/// One of a pool's workers, counted from when it was decided to start it until it is gone, however it goes.
class worker_place {
 public:
  explicit worker_place(std::shared_ptr<worker_pool_core> of) noexcept : of_(std::move(of)) {}
  worker_place(worker_place&& other) noexcept
      : of_(std::move(other.of_)), counted_(other.counted_), failure_(std::move(other.failure_)) {}
  worker_place& operator=(worker_place&&) = delete;
  ~worker_place() {
    if (of_) of_->worker_ended(counted_, failure_);
  }

  [[nodiscard]] worker_pool_core& pool() const noexcept { return *of_; }
  /// It has been counted out already.
  void left() noexcept { counted_ = false; }
  void fail(std::exception_ptr why) noexcept { failure_ = std::move(why); }

 private:
  std::shared_ptr<worker_pool_core> of_;
  bool counted_ = true;
  std::exception_ptr failure_;  // why it had nothing to work with
};

}  // namespace weir::detail
