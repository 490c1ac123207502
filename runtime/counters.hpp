#pragma once

#include <cstdint>
#include <vector>

#include "detail/light_std.hpp"

namespace weir {

/// What one worker has done since its runtime began, and at the end what it has before it now. Each number is exact and
/// never goes back, but they are read one after the other while the worker goes on, so two of them need not fit
/// together to the last unit.
struct worker_counters {
  // Tasks: what was spawned, into a group or the runtime's own, and the children of when_all and when_any. A task that
  // is awaited is a part of who awaits it. One may be spawned on one worker and end on another.
  std::uint64_t spawned = 0;
  std::uint64_t ended = 0;    ///< with a value or an exception
  std::uint64_t stopped = 0;  ///< by a cancellation

  // The scheduler.
  std::uint64_t turns = 0;    ///< of the worker's loop: run tasks, look at I/O and timers
  std::uint64_t resumed = 0;  ///< tasks taken from the run queue and run up to where they waited or ended
  std::uint64_t steals = 0;   ///< times that it took tasks from another worker's queue
  std::uint64_t stolen = 0;   ///< tasks that it took so
  std::uint64_t parks = 0;    ///< times that it waited in the kernel, having nothing to do
  std::uint64_t wakeups = 0;  ///< parked workers that it woke: one system call each
  std::uint64_t timers = 0;   ///< timers that fired, timeouts among them

  // I/O.
  std::uint64_t io_calls = 0;        ///< system calls of its reactor: io_uring_enter, epoll_wait, what it does itself
  std::uint64_t io_started = 0;      ///< operations
  std::uint64_t io_completed = 0;    ///< of those
  std::uint64_t ring_full = 0;       ///< operations that had to wait for an entry of the submission queue
  std::uint64_t ring_overflows = 0;  ///< times that the completion queue was too small; nothing is lost by that

  // Leases: see runtime_options::lease_buffers.
  std::uint64_t leases = 0;       ///< that its receive()s completed with
  std::uint64_t ring_leases = 0;  ///< of those: the kernel chose the buffer itself, from the ring's own
  std::uint64_t lease_waits = 0;  ///< times that a receive() had something to read and no buffer for it

  // write_all_zero_copy().
  std::uint64_t zero_copy_sends = 0;   ///< requests for which the kernel was given the caller's memory, and let it go
  std::uint64_t zero_copy_copied = 0;  ///< of those: it has copied all the same, where it tells (Linux 6.2)

  // Direct reads and writes whose memory the ring has registered: see aligned_buffer_options::registered.
  std::uint64_t registered_transfers = 0;

  // copy(): bytes, by the way that they have taken.
  std::uint64_t copied_by_range = 0;     ///< from file to file, by copy_file_range(2)
  std::uint64_t copied_by_sendfile = 0;  ///< from a file into a socket or a pipe, by sendfile(2) or the like
  std::uint64_t copied_by_splice = 0;    ///< between sockets and pipes, by splice(2)
  std::uint64_t copied_by_buffer = 0;    ///< all others: read into memory and written

  std::chrono::nanoseconds cpu_time{};  ///< that its thread has used; of the thread that called run(), all of it

  // At this moment.
  std::uint64_t ready = 0;      ///< tasks in its run queue
  std::uint64_t armed = 0;      ///< timers that are to fire, timeouts among them
  std::uint64_t in_flight = 0;  ///< I/O operations
  std::uint64_t leased = 0;     ///< buffers that are not at home: leases, and transfers under way

  worker_counters& operator+=(const worker_counters& other) noexcept;
};

/// The pool of offload(), and of file operations where there is no ring.
struct offload_counters {
  std::uint64_t jobs = 0;  ///< taken so far
  // At this moment.
  std::uint64_t queued = 0;   ///< jobs for which no thread was free
  std::uint64_t threads = 0;  ///< of the pool, idle ones included
  std::uint64_t idle = 0;     ///< of those
};

/// The counters of a runtime.
struct runtime_counters {
  std::vector<worker_counters> workers;  ///< by index
  /// What threads that are no workers of this runtime did to it: `spawned` and `wakeups`.
  worker_counters outside;
  worker_counters total;       ///< of all workers and `outside`
  std::uint64_t injected = 0;  ///< tasks that threads outside made ready, new ones among them
  offload_counters offload;

  /// Tasks that live now.
  [[nodiscard]] std::uint64_t tasks() const noexcept {
    const std::uint64_t gone = total.ended + total.stopped;
    return total.spawned > gone ? total.spawned - gone : 0;
  }
};

/// The counters of the calling task's runtime; without any worker outside of tasks: there, runtime::counters(). O(the
/// number of workers), one allocation. Workers are not disturbed.
runtime_counters counters();

}  // namespace weir
