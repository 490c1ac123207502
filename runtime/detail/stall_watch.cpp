#include "stall_watch.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "../stall.hpp"
#include "task_printer.hpp"
#include "worker.hpp"

namespace weir::detail {

namespace {

void write_line(const stall& found) noexcept {
  try {
    const bool named = *found.runtime_name != '\0';
    const std::string line = fmt::format(
        "weir: {}{}worker {} is held up: a task has run for {} ms without suspending; it awaited last in {} at {}:{}\n",
        found.runtime_name, named ? ": " : "", found.worker, found.length / std::chrono::milliseconds(1),
        found.where.function_name(), found.where.file_name(), found.where.line());
    std::fputs(line.c_str(), stderr);
  } catch (const std::exception&) {  // out of memory: then it is not told
  }
}

}  // namespace

stall_watch::stall_watch(runtime_core& core, duration limit)
    : core_(core),
      limit_(limit),
      period_(std::clamp<duration>(limit / 4, std::chrono::milliseconds(1), std::chrono::seconds(1))),
      workers_(core.worker_count()),
      thread_([this] { serve(); }) {}

stall_watch::~stall_watch() {
  {
    const std::lock_guard guard(mutex_);
    ending_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void stall_watch::serve() {
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, period_, [this] { return ending_; })) {
    lock.unlock();
    look();
    lock.lock();
  }
}

void stall_watch::look() {
  const time_point now = monotonic_now();
  for (unsigned i = 0; i < workers_.size(); ++i) {
    watched& w = workers_[i];
    bool same = false;
    w.run = core_.mark_run(i, same);
    if (!same) {
      w.since = now;
      w.told = false;
    } else if (!w.told && now - w.since >= limit_) {
      w.told = true;
      const runtime_options& options = core_.options();
      const stall found{location_at(w.run), now - w.since, i, core_.name().c_str()};
      options.on_stall ? options.on_stall(found) : write_line(found);
    }
  }
}

}  // namespace weir::detail
