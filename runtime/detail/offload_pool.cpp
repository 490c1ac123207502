#include "offload_pool.hpp"

#include <pthread.h>

#include <csignal>

#include "machine.hpp"

namespace weir::detail {

namespace {

constexpr std::chrono::seconds idle_time{10};

}  // namespace

offload_pool::~offload_pool() {
  std::unique_lock lock(mutex_);
  stopping_ = true;
  work_.notify_all();
  ended_.wait(lock, [this] { return threads_ == 0; });
}

bool offload_pool::submit(offload_job& job) noexcept {
  std::unique_lock lock(mutex_);
  if (job.withdrawn_) return false;
  queue_.push_back(job);
  ++queued_;
  ++jobs_;
  if (idle_ >= queued_) {
    work_.notify_one();
    return true;
  }
  if (threads_ >= options_.most_threads) return true;  // a busy thread will come to it
  if (start_thread() || threads_ > 0) return true;
  job.unlink();
  --queued_;
  --jobs_;
  return false;
}

bool offload_pool::start_thread() noexcept {
  // Signals belong to the program's own threads.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0) return false;
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  if (options_.stack_size != 0) pthread_attr_setstacksize(&attributes, options_.stack_size);
  const auto main = [](void* pool) -> void* {
    static_cast<offload_pool*>(pool)->serve();
    return nullptr;
  };
  ++threads_;
  pthread_t thread{};
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const int failed = pthread_create(&thread, &attributes, main, this);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attributes);
  if (failed != 0) --threads_;
  return failed == 0;
}

bool offload_pool::withdraw(offload_job& job) noexcept {
  const std::lock_guard lock(mutex_);
  job.withdrawn_ = true;
  if (!job.linked()) return false;
  job.unlink();
  --queued_;
  return true;
}

offload_counters offload_pool::counters() const {
  const std::lock_guard lock(mutex_);
  return {.jobs = jobs_, .queued = queued_, .threads = threads_, .idle = idle_};
}

void offload_pool::serve() noexcept {
  name_this_thread(options_.name, "offload");
  // Not the one CPU of the worker that has started it.
  if (!options_.cpus.empty()) static_cast<void>(stay_on(options_.cpus));
  std::unique_lock lock(mutex_);
  for (;;) {
    while (!queue_.empty()) {
      offload_job& job = queue_.pop_front();
      --queued_;
      lock.unlock();
      job.run();
      lock.lock();
    }
    if (stopping_) break;
    ++idle_;
    const bool timed_out = work_.wait_for(lock, idle_time) == std::cv_status::timeout;
    --idle_;
    if (timed_out && queue_.empty()) break;
  }
  --threads_;
  // The last thing that touches the pool: the destructor goes on when the lock is free.
  if (threads_ == 0) ended_.notify_all();
}

}  // namespace weir::detail
