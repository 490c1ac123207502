#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "../../runtime/detail/reactor.hpp"
#include "../../runtime/detail/scheduler.hpp"
#include "../../runtime/detail/spin_lock.hpp"
#include "../lease.hpp"
#include "leaf_queue.hpp"

struct io_uring_buf_ring;  // NOLINT(readability-identifier-naming): the kernel's

namespace weir::detail {

class receive_lease_operation;

/// The buffers of one worker that receive() reads into. Each is free, or published to the kernel's ring of buffers, or
/// taken: by an operation for its transfer, or by a lease. Made by the first receive() of its worker; it goes when its
/// worker's reactor has ended and no buffer is taken.
///
/// Operations that are ready to read and find no buffer wait here, first come, first served: what comes home goes to
/// them before anybody else, in the worker's loop, not inside of whatever drops a lease. While some wait nothing is
/// published, so the kernel cannot give their buffers to others.
class lease_pool final : private message {
 public:
  /// For the calling worker, whose counters these are. Null: there is no memory.
  static lease_pool* make(reactor_counters& counters, unsigned buffers, std::size_t size) noexcept;
  lease_pool(const lease_pool&) = delete;
  lease_pool& operator=(const lease_pool&) = delete;

  /// Any thread: a buffer comes home. The pool may be gone afterwards.
  void give_back(unsigned index) noexcept;

  // The rest is for the worker's thread, while its reactor lives.

  /// The size of each buffer.
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  /// A free buffer; empty when there is none that is not others' before.
  [[nodiscard]] lease take() noexcept;
  /// A receive() has completed with a buffer; `by_ring`: the kernel has chosen it.
  void note_lease(bool by_ring) noexcept;
  /// The operation waits for one: it is told by receive_lease_operation::go_on_with().
  void wait_for_buffer(receive_lease_operation& op) noexcept;
  void stop_waiting(receive_lease_operation& op) noexcept;

  /// The number by which the kernel knows the ring of buffers.
  static constexpr unsigned short ring_group = 0;
  /// Memory for a ring of buffers as the kernel wants it, zeroed; null: there is none. Nothing is published in it.
  [[nodiscard]] void* make_ring() noexcept;
  [[nodiscard]] unsigned ring_entries() const noexcept { return ring_entries_; }
  /// The kernel has it registered: from now on what is free is published there.
  void use_ring() noexcept;
  /// Whether the kernel has a buffer to give, as far as its completions tell.
  [[nodiscard]] bool ring_has_some() noexcept;
  /// By a completion: it had none, where there may be some.
  void ring_ran_out() noexcept;
  /// By a completion: the kernel has given this one away.
  [[nodiscard]] lease taken_from_ring(unsigned index) noexcept;

  /// The reactor ends; no operation is left, and the kernel does not know the ring any more. The pool may be gone
  /// afterwards.
  void end() noexcept;

 private:
  static constexpr std::uint32_t none = ~std::uint32_t{0};

  lease_pool(worker& owner, reactor_counters& counters, unsigned buffers, std::size_t size) noexcept;
  ~lease_pool();
  [[nodiscard]] bool allocate() noexcept;
  [[nodiscard]] std::byte* at(unsigned index) const noexcept { return memory_ + index * stride_; }

  void deliver() noexcept override;
  /// Takes what other threads have brought.
  void collect() noexcept;
  void put(unsigned index) noexcept;
  void fill_ring() noexcept;
  void serve_soon() noexcept;
  unsigned pop_free() noexcept;
  [[nodiscard]] lease take_free() noexcept;

  reactor_counters& counters_;
  const std::size_t size_;
  const std::size_t stride_;
  const unsigned buffers_;
  const unsigned ring_entries_;
  std::byte* memory_ = nullptr;
  io_uring_buf_ring* ring_ = nullptr;
  std::unique_ptr<std::uint32_t[]> next_;  // by buffer, while it is in one of the lists
  bool uses_ring_ = false;
  bool serving_ = false;
  unsigned wanted_in_ring_ = 0;  // as many as have been in use at once, from a few on
  unsigned in_ring_ = 0;         // published, and not known to be given away
  std::uint32_t free_ = none;  // the first of a list: the latest to come home is the first to go, while it is in cache
  leaf_queue waiting_;         // receive_lease_operations

  // For other threads. The owner is never another worker that has the same address: it is forgotten before it goes.
  std::atomic<worker*> owner_;
  spin_lock lock_;
  std::atomic<std::uint32_t> brought_{none};  // the first of a list; changed under the lock
  bool wanted_ = false;                       // under the lock: operations wait
  bool posted_ = false;                       // under the lock: deliver() will come
  std::uint64_t left_ = 0;                    // under the lock: once there is no owner, how many are taken
};

}  // namespace weir::detail
