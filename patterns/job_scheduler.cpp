#include "job_scheduler.hpp"

#include <algorithm>
#include <deque>
#include <stdexcept>

#include "../runtime/detail/group_core.hpp"
#include "../runtime/detail/scheduler.hpp"
#include "../runtime/sleep.hpp"
#include "../sync/select.hpp"
#include "detail/orderly.hpp"

namespace weir {

struct job_scheduler::job {
  job(std::string called, const schedule& at, std::function<task<>(utc_time)> what, const job_options& how)
      : name(std::move(called)), when(at), function(std::move(what)), options(how) {}

  /// Of the moment at hand.
  void put_off() noexcept {
    // Fixed point: a random fraction of the jitter.
    const auto fraction = static_cast<std::int64_t>(detail::random_below(1u << 30));
    const std::int64_t most = options.jitter.count();
    delay = duration((most >> 30) * fraction + ((most & ((std::int64_t{1} << 30) - 1)) * fraction >> 30));
  }
  void keep(const job_run& ended) {
    const bool good = ended.outcome == job_outcome::succeeded;
    const std::size_t most = good ? options.keep_successes : options.keep_failures;
    kept.push_back(ended);
    const auto same = [good](const job_run& r) { return (r.outcome == job_outcome::succeeded) == good; };
    if (static_cast<std::size_t>(std::count_if(kept.begin(), kept.end(), same)) > most) {
      kept.erase(std::find_if(kept.begin(), kept.end(), same));
    }
  }

  const std::string name;
  const schedule when;
  const std::function<task<>(utc_time)> function;
  const job_options options;
  std::optional<duration> due;  // of its schedule's clock
  duration delay{};             // of that one, for the jitter
  std::uint64_t triggered = 0;  // by hand
  bool removed = false;
  std::deque<utc_time> queue;
  std::vector<job_run> kept;
  job_counters counters;
};

/// A run is accounted for however it ends.
class job_scheduler::run_in_progress {
 public:
  run_in_progress(job_scheduler& in, job& of, utc_time due) : in_(in), of_(of), start_(now()) {
    run_.due = due;
    run_.began = in.clock_();
  }
  run_in_progress(const run_in_progress&) = delete;
  run_in_progress& operator=(const run_in_progress&) = delete;
  ~run_in_progress() {
    if (running_) static_cast<void>(end(job_outcome::stopped, nullptr));
  }
  /// Returns what waits for its turn, which begins with this end: nobody can come in between.
  std::optional<utc_time> end(job_outcome outcome, std::exception_ptr error) {
    running_ = false;
    run_.took = now() - start_;
    run_.outcome = outcome;
    run_.error = std::move(error);
    const std::lock_guard guard(in_.lock_);
    job_counters& counters = of_.counters;
    --counters.running;
    ++(outcome == job_outcome::succeeded ? counters.succeeded
       : outcome == job_outcome::failed  ? counters.failed
                                         : counters.stopped);
    of_.keep(run_);
    if (outcome == job_outcome::stopped || of_.queue.empty()) return std::nullopt;
    const utc_time next = of_.queue.front();
    of_.queue.pop_front();
    ++counters.running;
    return next;
  }
  [[nodiscard]] const job_run& run() const noexcept { return run_; }

 private:
  job_scheduler& in_;
  job& of_;
  const time_point start_;
  job_run run_;
  bool running_ = true;
};

job_scheduler::job_scheduler(std::function<utc_time()> clock, const job_scheduler_options& options)
    : clock_(std::move(clock)), options_(options) {
  if (options.clock_check <= duration::zero()) {
    throw std::invalid_argument("weir::job_scheduler: clock_check must be positive");
  }
}

job_scheduler::job_scheduler(const job_scheduler_options& options) : job_scheduler(&utc_now, options) {}
job_scheduler::~job_scheduler() = default;

void job_scheduler::observe(std::function<void(std::string_view, const job_run&)> observer) {
  observer_ = std::move(observer);
}

duration job_scheduler::since_epoch(const schedule& of) const {
  return of.by_calendar() ? clock_().time_since_epoch() : now().time_since_epoch();
}

utc_time job_scheduler::calendar_of(const schedule& of, duration moment) const {
  if (of.by_calendar()) return utc_time(moment);
  return clock_() + (moment - now().time_since_epoch());
}

void job_scheduler::add_job(std::string name, const schedule& when, std::function<task<>(utc_time)> function,
                            const job_options& options) {
  if (options.jitter < duration::zero()) throw std::invalid_argument("weir::job_scheduler: the jitter is negative");
  auto made = std::make_shared<job>(std::move(name), when, std::move(function), options);
  const bool from_then = options.since && when.by_calendar();
  made->put_off();
  made->due = when.first(from_then ? options.since->time_since_epoch() : since_epoch(when));
  {
    const std::lock_guard guard(lock_);
    if (find(made->name)) {
      throw std::invalid_argument("weir::job_scheduler: there is a job \"" + made->name + "\" already");
    }
    jobs_.push_back(std::move(made));
  }
  changed_.set();
}

job_scheduler::shared_job job_scheduler::find(std::string_view name) const {
  for (const shared_job& one : jobs_) {
    if (one->name == name) return one;
  }
  return nullptr;
}

bool job_scheduler::remove(std::string_view name) {
  const std::lock_guard guard(lock_);
  const shared_job found = find(name);
  if (!found) return false;
  found->removed = true;
  found->counters.skipped += found->queue.size();
  found->queue.clear();
  std::erase(jobs_, found);
  return true;
}

bool job_scheduler::trigger(std::string_view name) {
  {
    const std::lock_guard guard(lock_);
    const shared_job found = find(name);
    if (!found) return false;
    ++found->triggered;
  }
  changed_.set();
  return true;
}

void job_scheduler::stop() noexcept {
  {
    const std::lock_guard guard(lock_);
    stopping_ = true;
    for (const shared_job& one : jobs_) {
      one->counters.skipped += one->queue.size();
      one->queue.clear();
    }
  }
  changed_.set();
}

task<> job_scheduler::run() {
  const detail::running_alone here(running_, "weir::job_scheduler: run() was called while it runs");
  const auto body = [this](task_group& group) { return begin_all(group); };
  co_await with_supervisor(body);
}

task<> job_scheduler::begin_all(task_group& group) {
  for (;;) {
    const time_point next = begin_due(group);
    if (next == time_point::min()) break;
    co_await select_ordered(changed_.wait(), sleep_until(next));
  }
  co_await group.join();
}

time_point job_scheduler::begin_due(task_group& group) {
  const std::lock_guard guard(lock_);
  if (stopping_) return time_point::min();
  const utc_time calendar = clock_();
  notice_clock(calendar);
  time_point next = time_point::max();
  const std::vector<shared_job> all = jobs_;
  for (const shared_job& one : all) {
    begin_due(*one, one, group);
    if (!one->due) continue;
    const duration wait =
        detail::add_saturated(time_point(*one->due), one->delay).time_since_epoch() - since_epoch(one->when);
    next = std::min(
        next, detail::add_saturated(now(), one->when.by_calendar() ? std::min(wait, options_.clock_check) : wait));
  }
  return next;
}

/// Set back further than cron(8) calls a correction: what was to come by the old time is found anew by this one.
void job_scheduler::notice_clock(utc_time calendar) {
  constexpr duration correction = std::chrono::hours(3);
  const time_point current = now();
  if (seen_ && calendar - seen_->calendar < (current - seen_->current) - correction) {
    for (const shared_job& one : jobs_) {
      if (one->due && one->when.kind_ == schedule::kind::calendar)
        one->due = one->when.next(calendar.time_since_epoch());
    }
  }
  seen_.emplace(look{calendar, current});
}

void job_scheduler::begin_due(job& of, const shared_job& shared, task_group& group) {
  for (; of.triggered != 0; --of.triggered) {
    ++of.counters.due;
    begin(shared, clock_(), group);
  }
  const duration current = since_epoch(of.when);
  if (!of.due || *of.due + of.delay > current) return;
  const duration reach = current - of.delay;  // moments up to here are due, put off as the first of them is
  duration last = *of.due;
  duration first = last;
  const std::uint64_t moments = of.when.count(last, reach);
  of.counters.due += moments;
  std::uint64_t late = moments - 1;  // all but the last one, and maybe that
  const bool last_is_late = reach - last > of.options.grace;
  if (last_is_late) ++late;
  if (of.options.missed == missed_runs::all) {
    late = 0;
    for (; first < last; first = *of.when.next(first)) begin(shared, calendar_of(of.when, first), group);
  } else if (of.options.missed == missed_runs::once && last_is_late) {
    --late;
  }
  of.counters.missed += late;
  if (!last_is_late || of.options.missed != missed_runs::skip) begin(shared, calendar_of(of.when, last), group);
  of.due = of.when.next(last);
  of.put_off();
}

void job_scheduler::begin(const shared_job& of, utc_time due, task_group& group) {
  job_counters& counters = of->counters;
  if (counters.running != 0 && of->options.overlap != job_overlap::parallel) {
    if (of->options.overlap == job_overlap::queue && of->queue.size() < of->options.most_queued) {
      of->queue.push_back(due);
    } else {
      ++counters.skipped;
    }
    return;
  }
  ++counters.running;
  group.spawn(run_job(of, due));
}

task<> job_scheduler::run_job(shared_job of, utc_time due) {
  for (std::optional<utc_time> next = due; next;) {
    run_in_progress here(*this, *of, *next);
    std::exception_ptr failure;
    try {
      co_await of->function(*next);
    } catch (...) {
      failure = std::current_exception();
    }
    next = here.end(failure ? job_outcome::failed : job_outcome::succeeded, failure);
    if (observer_) {
      observer_(of->name, here.run());
    } else if (failure) {
      detail::report_unobserved(failure);
    }
  }
}

std::vector<job_run> job_scheduler::runs(std::string_view name) const {
  const std::lock_guard guard(lock_);
  const shared_job found = find(name);
  return found ? found->kept : std::vector<job_run>();
}

std::optional<job_counters> job_scheduler::counters(std::string_view name) const {
  const std::lock_guard guard(lock_);
  const shared_job found = find(name);
  if (!found) return std::nullopt;
  job_counters counters = found->counters;
  counters.queued = found->queue.size();
  return counters;
}

std::optional<utc_time> job_scheduler::next(std::string_view name) const {
  const std::lock_guard guard(lock_);
  const shared_job found = find(name);
  if (!found || !found->due) return std::nullopt;
  return calendar_of(found->when, *found->due);
}

std::vector<std::string> job_scheduler::names() const {
  const std::lock_guard guard(lock_);
  std::vector<std::string> all;
  all.reserve(jobs_.size());
  for (const shared_job& one : jobs_) all.push_back(one->name);
  return all;
}

}  // namespace weir
