#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "../clock.hpp"
#include "counter.hpp"
#include "scheduler.hpp"

namespace weir {

/// Which kernel interface carries I/O.
enum class backend_kind : std::uint8_t {
  automatic,  ///< io_uring where the kernel grants it, epoll elsewhere
  uring,      ///< io_uring, or an error that says why not
  epoll,
  simulated,  ///< none: only inside a simulation
};

/// "uring", "epoll", ...
const char* to_string(backend_kind kind) noexcept;

namespace detail {

/// One operation in the hands of a reactor. What it does is known to io/, which derives from it. It belongs to the
/// reactor from submit() until completed() is called for the last time; until then neither it nor what it refers to may
/// be freed.
class io_operation : public message {
 public:
  /// Called on the reactor's own thread, from poll() or wait(): `result` as the kernel gives it (>= 0, or -errno).
  virtual void completed(int result, std::uint32_t flags) noexcept = 0;

 protected:
  ~io_operation() = default;
};

/// What a reactor counts, for worker_counters: see there.
struct reactor_counters {
  counter calls;
  counter started;
  counter completed;
  counter ring_full;
  counter ring_overflows;
  counter leases;
  counter ring_leases;
  counter lease_waits;
  counter buffers_taken;
  counter buffers_returned;
  counter buffers_brought;  // returned by other threads; raised under a lock of theirs
  counter zero_copy_sends;
  counter zero_copy_copied;
  counter registered_transfers;
  counter copied_by_range;
  counter copied_by_sendfile;
  counter copied_by_splice;
  counter copied_by_buffer;
};

/// A worker's door to the kernel: one per worker, used by its thread only, except wake().
class reactor {
 public:
  reactor() = default;
  reactor(const reactor&) = delete;
  reactor& operator=(const reactor&) = delete;
  virtual ~reactor() = default;

  /// Whether try_now is worth calling for every operation.
  [[nodiscard]] virtual bool optimistic() const noexcept { return false; }
  /// Tries `op` without waiting; true when it completed at once (then completed() was not called and `result` is set).
  /// For backends for which that is cheap, simulated ones, and operations that expect to complete so.
  virtual bool try_now(io_operation& op, int& result) noexcept = 0;
  /// Takes `op`: completed() will be called later, never from inside submit().
  virtual void submit(io_operation& op) noexcept = 0;
  /// Asks for an early end of a submitted `op`. It still completes through completed(), maybe with a value.
  virtual void cancel(io_operation& op) noexcept = 0;

  /// Hands in what was submitted and takes what has completed, without waiting.
  virtual void poll() noexcept = 0;
  /// The same, but waits until something completes, `deadline` has come, or wake() is called.
  virtual void wait(time_point deadline) noexcept = 0;
  /// Ends a wait(), the present one or the next. Any thread; async-signal-safe.
  virtual void wake() noexcept = 0;

  /// The last call on the owner's thread, with nothing in flight: takes back from the kernel what the reactor itself
  /// has there. Afterwards only wake() may be called, and the destructor, which may run on another thread.
  virtual void shut_down() noexcept {}

  /// In virtual time: when poll() will have something to do that it has not now; no_deadline when nothing is under way.
  [[nodiscard]] virtual time_point next_event() const noexcept { return no_deadline; }

  /// Operations submitted and not yet completed: while there are none, poll() has nothing to do.
  [[nodiscard]] virtual std::size_t in_flight() const noexcept = 0;
  [[nodiscard]] virtual backend_kind kind() const noexcept = 0;

  /// Any thread may read them.
  [[nodiscard]] const reactor_counters& counters() const noexcept { return counters_; }

 protected:
  reactor_counters counters_;
};

struct reactor_options {
  backend_kind backend = backend_kind::automatic;
  unsigned entries = 256;
  unsigned lease_buffers = 256;
  std::size_t lease_size = 4096;
  runtime_core* simulation = nullptr;  // whose clock and seed the simulated backend follows
};

/// A reactor for the calling thread, which becomes its owner. Defined by io/. Throws std::system_error with a sentence
/// when none can be had. `why_not_uring` receives the exact barrier when io_uring was wanted but refused.
std::unique_ptr<reactor> make_default_reactor(const reactor_options& options, std::string& why_not_uring);

}  // namespace detail
}  // namespace weir
