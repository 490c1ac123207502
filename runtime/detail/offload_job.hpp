#pragma once

#include "intrusive_list.hpp"

namespace weir::detail {

/// A piece of blocking work. Lives in whoever submits it, until run() was called or withdraw() has succeeded.
class offload_job : public list_hook {
 public:
  offload_job() = default;
  offload_job(const offload_job&) noexcept : list_hook() {}
  offload_job& operator=(const offload_job&) = delete;
  /// On a thread of the pool. May lead to the destruction of the job.
  virtual void run() noexcept = 0;

 protected:
  ~offload_job() = default;

 private:
  friend class offload_pool;
  bool withdrawn_ = false;  // guarded by the pool's lock
};

}  // namespace weir::detail
