#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "blocking_step.hpp"
#include "io_reactor.hpp"
#include "leaf_queue.hpp"

namespace weir::detail {

/// I/O by readiness, for kernels and containers that refuse io_uring. Operations are tried before they wait; a
/// descriptor is registered once, edge-triggered, when something has to wait for it; what blocks goes to the offload
/// pool. Used by its own thread only, except wake().
///
/// Of a descriptor that is not weir's nobody tells when it is closed, and somebody else may have it registered by the
/// same number. So each operation that waits for one watches it by a number of its own, until it has ended.
///
/// A request-response server spends two system calls for a request, and one more for a batch of them: what is known not
/// to be ready is not asked.
class epoll_reactor final : public io_reactor, private blocking_host {
 public:
  /// Throws std::system_error with a sentence (no descriptors left, no memory).
  explicit epoll_reactor(const reactor_options& options);
  ~epoll_reactor() override;

  [[nodiscard]] bool optimistic() const noexcept override { return true; }
  bool try_now(io_operation& operation, int& result) noexcept override;
  void submit(io_operation& operation) noexcept override;
  void cancel(io_operation& operation) noexcept override;
  void poll() noexcept override;
  void wait(time_point deadline) noexcept override;
  void wake() noexcept override;
  [[nodiscard]] std::size_t in_flight() const noexcept override { return in_flight_; }
  [[nodiscard]] backend_kind kind() const noexcept override { return backend_kind::epoll; }

 private:
  enum direction : std::uint8_t { reading, writing };

  /// What is known of the descriptor that has a number. It begins with the descriptor's registration; operations wait
  /// only while their direction is not ready.
  struct watch {
    std::uint32_t serial = 0;           // of the registered descriptor, 0: none, or a number that is our own
    std::array<bool, 2> ready{};        // by direction: an attempt may succeed
    bool short_is_empty = true;         // see attempt()
    std::uint8_t unclaimed = 0;         // events in a row that nobody here had waited for
    std::array<leaf_queue, 2> waiting;  // by direction
  };

  /// Closes its number.
  class owned_number {
   public:
    explicit owned_number(int number) noexcept : number_(number) {}
    owned_number(const owned_number&) = delete;
    owned_number& operator=(const owned_number&) = delete;
    ~owned_number();
    [[nodiscard]] int get() const noexcept { return number_; }

   private:
    const int number_;
  };

  static direction direction_of(const io_leaf& op) noexcept {
    return op.needs() == readiness::output ? writing : reading;
  }
  watch* find(const io_leaf& op) noexcept;
  int register_target(const io_leaf& op) noexcept;
  int attempt(io_leaf& op, watch* known) noexcept;
  void submit_blocking(io_leaf& op) noexcept;
  void submit_foreign(io_leaf& op) noexcept;
  void stop_watching(foreign_watch& wanted) noexcept;
  void handle_foreign(watch& at) noexcept;
  void came_back(io_leaf& op, int result) noexcept override;

  void enqueue(watch& at, io_leaf& op) noexcept;
  void complete_later(io_leaf& op, int result) noexcept;
  void complete(io_leaf& op, int result) noexcept;
  void deliver_completions() noexcept;

  /// Takes what the kernel reports, waiting until `deadline` for the first event.
  void collect(time_point deadline) noexcept;
  int wait_in_kernel(void* events, int most, time_point deadline) const noexcept;
  void handle(std::uint64_t tag, std::uint32_t events) noexcept;
  void serve(watch& at, direction which) noexcept;

  const owned_number epoll_;
  const owned_number wake_;
  bool microseconds_ = false;   // the kernel has epoll_pwait2
  bool woken_ = false;          // poll() met a wake-up: the next wait() must not wait
  std::vector<watch> watches_;  // by number
  std::size_t in_flight_ = 0;
  std::size_t waiting_ = 0;  // of those, the ones that wait for a descriptor
  leaf_queue completed_;     // to be completed at the next turn
};

}  // namespace weir::detail
