#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "../clock.hpp"

namespace weir::detail {

class runtime_core;

/// Looks from time to time whether a worker is still in the same run of a task, and tells when that lasts:
/// runtime_options::stall_limit. Workers do nothing for it. Each keeps in a word where its task went on; the watch
/// marks that word, and the worker, which writes it anew with each run, wipes the mark away without knowing of it.
class stall_watch {
 public:
  /// Throws std::system_error when there is no thread to be had.
  stall_watch(runtime_core& core, duration limit);
  stall_watch(const stall_watch&) = delete;
  stall_watch& operator=(const stall_watch&) = delete;
  ~stall_watch();

 private:
  void serve();
  void look();

  /// What the watch knows of a worker.
  struct watched {
    const void* run = nullptr;  // the marked word, or null
    time_point since{};
    bool told = false;
  };

  runtime_core& core_;
  const duration limit_;
  const duration period_;
  std::vector<watched> workers_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ending_ = false;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace weir::detail
