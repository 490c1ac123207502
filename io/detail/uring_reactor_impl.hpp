#pragma once

#include <liburing.h>

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "blocking_step.hpp"
#include "io_reactor.hpp"
#include "leaf_queue.hpp"
#include "ring_buffers_impl.hpp"

namespace weir::detail {

/// I/O over io_uring. Operations are queued in the submission ring and handed in together with the wait for
/// completions, in one io_uring_enter. The ring is used by its own thread only; wake() writes to an eventfd that the
/// ring reads. Operations that this kernel's ring does not know go to the offload pool.
///
/// The submission ring is filled here rather than through liburing's helpers, so that an error of enter never makes the
/// two disagree about what was taken: what is pending is always our tail less the kernel's head.
class uring_reactor final : public io_reactor, private blocking_host {
 public:
  /// Null when the kernel refuses io_uring; `why_not` then names the barrier. Throws std::system_error for errors that
  /// another backend would meet as well (no descriptors left).
  static std::unique_ptr<uring_reactor> create(const reactor_options& options, std::string& why_not);
  ~uring_reactor() override;

  bool try_now(io_operation& operation, int& result) noexcept override;
  void submit(io_operation& op) noexcept override;
  void cancel(io_operation& op) noexcept override;
  void poll() noexcept override;
  void wait(time_point deadline) noexcept override;
  void wake() noexcept override;
  void shut_down() noexcept override;
  [[nodiscard]] bool sends_zero_copy() const noexcept override { return known_[IORING_OP_SEND_ZC]; }
  [[nodiscard]] std::size_t in_flight() const noexcept override { return in_flight_; }
  [[nodiscard]] backend_kind kind() const noexcept override { return backend_kind::uring; }

 private:
  explicit uring_reactor(const reactor_options& options) noexcept : io_reactor(options) {}
  int set_up(unsigned entries, unsigned flags) noexcept;
  [[nodiscard]] int try_out() noexcept;
  void publish_leases(lease_pool& pool) noexcept override;
  void arm_wake() noexcept;
  void learn_operations() noexcept;

  [[nodiscard]] bool knows(const io_leaf& op) const noexcept { return !op.asks_probe() || known_[op.ring_opcode()]; }
  void submit_blocking(io_leaf& op) noexcept;
  void came_back(io_leaf& op, int result) noexcept override;
  io_uring_sqe* next_entry() noexcept;
  void put(io_leaf& op, io_uring_sqe& entry) noexcept;
  void put_cancel(io_leaf& op, io_uring_sqe& entry) noexcept;
  void fill_from_queues() noexcept;
  [[nodiscard]] unsigned unsubmitted() const noexcept;
  /// That have not been reaped.
  [[nodiscard]] unsigned completions() const noexcept;
  /// One io_uring_enter; 0 or -errno. `timeout` only counts when `wanted` is not 0; null waits for ever.
  int enter(unsigned wanted, const __kernel_timespec* timeout) noexcept;
  void run_deferred_work(unsigned inline_at_most) noexcept;
  void reap() noexcept;
  void handle(std::uint64_t user_data, int result, std::uint32_t flags) noexcept;
  /// At the next turn.
  void complete_later(io_leaf& op, int result) noexcept;
  void deliver_completions() noexcept;
  void complete(io_leaf& op, int result, std::uint32_t flags) noexcept;
  void flush_and_reap(unsigned wanted, const __kernel_timespec* timeout) noexcept;

  io_uring ring_{};
  bool ring_open_ = false;
  unsigned tail_ = 0;        // of the submission ring: entries up to here are filled in
  unsigned for_device_ = 0;  // of the entries that are filled in: transfers past the kernel's cache
  bool deferred_ = false;    // completions appear only inside enter
  bool has_task_run_flag_ = false;
  bool has_buffer_ring_ = false;
  bool no_iowait_ = false;
  int wake_fd_ = -1;
  std::uint64_t wake_buffer_ = 0;
  bool wake_armed_ = false;
  bool wakeable_ = false;  // the eventfd is read for as long as this is set
  std::size_t in_flight_ = 0;
  leaf_queue waiting_;      // operations for which there was no entry
  leaf_queue uncancelled_;  // submitted operations for whose cancel there was no entry
  leaf_queue completed_;    // without the ring: to be completed at the next turn
  std::bitset<256> known_;  // by opcode: the operations of the ring
  ring_buffers buffers_;
};

}  // namespace weir::detail
