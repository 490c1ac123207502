#include "offload_pool.hpp"

#include <csignal>
#include <system_error>

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
  if (idle_ >= queued_) {
    work_.notify_one();
    return true;
  }
  if (threads_ >= most_) return true;  // a busy thread will come to it
  // Signals belong to the program's own threads.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  bool started = true;
  try {
    ++threads_;
    std::thread([this] { serve(); }).detach();
  } catch (const std::system_error&) {
    --threads_;
    started = threads_ > 0;
    if (!started) {
      job.unlink();
      --queued_;
    }
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return started;
}

bool offload_pool::withdraw(offload_job& job) noexcept {
  const std::lock_guard lock(mutex_);
  job.withdrawn_ = true;
  if (!job.linked()) return false;
  job.unlink();
  --queued_;
  return true;
}

void offload_pool::serve() noexcept {
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
