#pragma once

#include "../../runtime/detail/offload_job.hpp"
#include "../../runtime/detail/scheduler.hpp"
#include "io_operation.hpp"

namespace weir::detail {

/// A reactor that sends blocking operations to the offload pool.
class blocking_host {
 public:
  /// On the thread of the worker that began it: `op` has run and returned `result`.
  virtual void came_back(io_leaf& op, int result) noexcept = 0;

 protected:
  ~blocking_host() = default;
};

/// The way of a blocking operation to the offload pool and back to the worker that armed it. Lives in the operation, so
/// that nothing is allocated.
class blocking_step final : private offload_job, private message {
 public:
  explicit blocking_step(io_leaf& op) noexcept : op_(op) {}
  blocking_step(const blocking_step&) = delete;
  blocking_step& operator=(const blocking_step&) = delete;
  ~blocking_step() = default;

  /// On a worker's thread. False when no thread can be had; then nothing was begun.
  bool begin(blocking_host& host) noexcept;
  /// True: it was still queued, and the host will not hear of it. The same thread as begin().
  bool withdraw() noexcept;

 private:
  void run() noexcept override;
  void deliver() noexcept override;

  io_leaf& op_;
  blocking_host* host_ = nullptr;
  worker* owner_ = nullptr;
  int result_ = 0;
};

/// The base of operations that block where there is no ring.
class blocking_io_leaf : public io_leaf {
 public:
  [[nodiscard]] blocking_step* blocking() noexcept final { return &step_; }
  [[nodiscard]] readiness needs() const noexcept override { return readiness::blocking; }

 protected:
  explicit blocking_io_leaf(descriptor* target) noexcept : io_leaf(target) {}
  blocking_io_leaf(const blocking_io_leaf& other) noexcept : io_leaf(other) {}
  ~blocking_io_leaf() = default;

 private:
  blocking_step step_{*this};
};

}  // namespace weir::detail
