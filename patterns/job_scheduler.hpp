#pragma once

#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "../runtime/clock.hpp"
#include "../runtime/detail/config.hpp"
#include "../runtime/detail/function.hpp"
#include "../runtime/detail/slot.hpp"
#include "../runtime/task.hpp"
#include "../runtime/task_group.hpp"
#include "../sync/event.hpp"
#include "schedule.hpp"

namespace weir {

/// What becomes of a job whose time comes while it still runs.
enum class job_overlap : std::uint8_t {
  skip,      ///< this run is left out, and counted
  queue,     ///< it waits for its turn
  parallel,  ///< it runs beside the other: one function object is called for both
};

/// What becomes of the moments that had passed before the scheduler came to look: the machine slept, its clock was set,
/// the program did not run.
enum class missed_runs : std::uint8_t {
  skip,  ///< they are counted
  once,  ///< one run makes up for all of them
  all,   ///< each has its run, which overlap, too, has a say in
};

struct job_options {
  job_overlap overlap = job_overlap::skip;
  missed_runs missed = missed_runs::skip;
  /// So late a run may begin; what is later was missed.
  duration grace = std::chrono::minutes(1);
  /// Each run is put off by a random time below this, so that not all the world begins at the full hour.
  duration jitter{};
  /// Runs that may wait with job_overlap::queue; more are left out, and counted.
  std::size_t most_queued = 16;
  /// How many of the last runs are kept for runs().
  std::size_t keep_successes = 3;
  std::size_t keep_failures = 3;
  /// For schedules by the calendar: from when on moments count, so that those since the program last ran were missed.
  /// None: from when the job is added.
  std::optional<utc_time> since = std::nullopt;
};
static_assert(detail::trivially_destructible<job_options>);

enum class job_outcome : std::uint8_t { succeeded, failed, stopped };

/// One run of a job.
struct job_run {
  utc_time due;    ///< the moment that it was for
  utc_time began;  ///< by the calendar
  duration took{};
  job_outcome outcome = job_outcome::stopped;
  std::exception_ptr error;  ///< what it threw
};

/// What has become of a job's moments: due == skipped + missed + queued + succeeded + failed + stopped + running.
struct job_counters {
  std::uint64_t due = 0;
  std::uint64_t skipped = 0;  ///< left out because it still ran, the queue was full or everything was to stop
  std::uint64_t missed = 0;   ///< left out because they were too late
  std::uint64_t succeeded = 0;
  std::uint64_t failed = 0;
  std::uint64_t stopped = 0;
  std::size_t queued = 0;   ///< now
  std::size_t running = 0;  ///< now
};

struct job_scheduler_options {
  /// While a job goes by the calendar, so often at least it is looked what the calendar says: so late it is noticed
  /// that the clock was set.
  duration clock_check = std::chrono::minutes(1);
};
static_assert(detail::trivially_destructible<job_scheduler_options>);

/// Runs jobs at their times: delayed, at intervals, and by the calendar in UTC.
///
///     weir::job_scheduler jobs;
///     jobs.add("report", weir::schedule::cron("0 2 * * *"), send_report);        // task<> send_report();
///     jobs.add("sweep", weir::schedule::every(30s), sweep, {.jitter = 5s});
///     co_await jobs.run();                                                        // until stop()
///
/// Each run is a task of its own. One that fails ends alone: it is counted and kept for runs(), and given to the
/// observer, or where there is none to runtime_options::on_error. To try it again, let the job do that.
///
/// A clock that is set: intervals do not notice. By the calendar, set forward, moments that were passed over were
/// missed, and job_options::missed says what happens; set back by up to three hours, no moment comes twice; set back
/// further, they count again from there. (The three hours are those of cron(8).) A moment is run once however often the
/// calendar is looked at.
///
/// Any thread may add and remove jobs and ask for them. It must outlive run().
class job_scheduler {
 public:
  explicit job_scheduler(const job_scheduler_options& options = {});
  /// With another calendar. `clock()` is called by run(), and by whoever adds a job.
  explicit job_scheduler(std::function<utc_time()> clock, const job_scheduler_options& options = {});
  job_scheduler(const job_scheduler&) = delete;
  job_scheduler& operator=(const job_scheduler&) = delete;
  ~job_scheduler();

  /// `function()` or `function(due)` returns a task; `due` is the moment that it is for. Throws std::invalid_argument
  /// when there is a job of that name.
  template <class F>
    requires std::is_invocable_r_v<task<>, F&, utc_time> || std::is_invocable_r_v<task<>, F&>
  void add(std::string name, const schedule& when, F function, const job_options& options = {}) {
    if constexpr (std::is_invocable_r_v<task<>, F&, utc_time>) {
      add_job(std::move(name), when, std::move(function), options);
    } else {
      add_job(std::move(name), when, [call = std::move(function)](utc_time) mutable { return call(); }, options);
    }
  }
  /// It begins no more; a run that is under way goes on. False: there was none.
  bool remove(std::string_view name);
  /// Lets it begin now, besides its schedule, as if a moment had come. False: there is none.
  bool trigger(std::string_view name);

  /// Called after each run, with the job's name, in the run's task; must not throw. Set it before run().
  void observe(std::function<void(std::string_view, const job_run&)> observer);

  /// Runs jobs until stop() is called, and completes when those have ended that were running then. Throws
  /// std::logic_error when it is running already. Cancelled: the runs are stopped, and joined.
  [[nodiscard]] task<> run();
  /// Lets no more runs begin. Idempotent; any thread.
  void stop() noexcept;

  /// The last runs of a job, oldest first. Empty when there is none.
  [[nodiscard]] std::vector<job_run> runs(std::string_view name) const;
  [[nodiscard]] std::optional<job_counters> counters(std::string_view name) const;
  /// When it is due next, if it is: by the calendar, and without jitter.
  [[nodiscard]] std::optional<utc_time> next(std::string_view name) const;
  [[nodiscard]] std::vector<std::string> names() const;

 private:
  struct job;
  using shared_job = std::shared_ptr<job>;
  class run_in_progress;

  void add_job(std::string name, const schedule& when, std::function<task<>(utc_time)> function,
               const job_options& options);
  [[nodiscard]] shared_job find(std::string_view name) const;  // under the lock
  task<> begin_all(task_group& group);
  /// Begins what is due, and returns when to look again.
  time_point begin_due(task_group& group);
  void begin_due(job& of, const shared_job& shared, task_group& group);
  void begin(const shared_job& of, utc_time due, task_group& group);
  void notice_clock(utc_time calendar);
  [[nodiscard]] duration since_epoch(const schedule& of) const;
  [[nodiscard]] utc_time calendar_of(const schedule& of, duration moment) const;
  task<> run_job(shared_job of, utc_time due);

  const std::function<utc_time()> clock_;
  const job_scheduler_options options_;
  std::function<void(std::string_view, const job_run&)> observer_;
  event changed_{reset_mode::automatic};
  std::atomic<bool> running_{false};
  mutable std::mutex lock_;
  bool stopping_ = false;         // guarded by lock_, as all that follows and what is in a job
  std::vector<shared_job> jobs_;  // in the order in which they were added
  struct look {
    utc_time calendar;
    time_point current;
  };
  detail::slot<look> seen_;
};

}  // namespace weir
