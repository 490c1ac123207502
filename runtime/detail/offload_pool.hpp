#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "../counters.hpp"
#include "intrusive_list.hpp"
#include "offload_job.hpp"

namespace weir::detail {

/// Threads for work that blocks or computes: started on demand up to a maximum, ended when idle for some seconds. Jobs
/// start first come, first served.
class offload_pool {
 public:
  struct options {
    unsigned most_threads = 1;
    std::size_t stack_size = 0;  // 0: the system's default
    std::string name;            // of the threads
    std::vector<int> cpus;       // on which they may run; empty: those of whoever submits
  };
  explicit offload_pool(options how) noexcept : options_(std::move(how)) {}
  offload_pool(const offload_pool&) = delete;
  offload_pool& operator=(const offload_pool&) = delete;
  /// Waits for running jobs, and for those still queued, which must own what they need.
  ~offload_pool();

  /// False when no thread runs and none can be started, or when withdraw() came first; then the job was not taken. Any
  /// thread.
  bool submit(offload_job& job) noexcept;
  /// True: `job` was still queued and will not run. False: it runs or has run, or submit() will refuse it. Any thread;
  /// the end of a job's submissions.
  bool withdraw(offload_job& job) noexcept;
  /// Any thread.
  [[nodiscard]] offload_counters counters() const;

 private:
  /// With the lock held. False when the system has no thread for us.
  bool start_thread() noexcept;
  void serve() noexcept;

  const options options_;
  mutable std::mutex mutex_;
  std::condition_variable work_;
  std::condition_variable ended_;
  intrusive_list<offload_job> queue_;
  std::size_t queued_ = 0;
  std::uint64_t jobs_ = 0;
  unsigned threads_ = 0;
  unsigned idle_ = 0;
  bool stopping_ = false;
};

/// In a forked child, before it has threads: what offload_abandonable() had is the parent's. In
/// offload_abandonable.cpp.
void leave_abandonable_pool() noexcept;

}  // namespace weir::detail
