#pragma once

#include <atomic>
#include <cstdint>

#include "../../runtime/detail/light_std.hpp"

namespace weir::detail {

/// Whether another connection waits at a listener when the ring has just given one: then a system call gets it at once,
/// where the ring takes a turn of the worker for each. A call in vain costs a tenth of a connection, so it is learned:
/// each trial that finds none is followed by twice as many connections without a trial, up to a bound, and one that
/// finds one by none. A burst that is found is followed to its end.
///
/// Used by all who accept, on any thread; what they say at the same time may be lost, and costs a trial.
class burst_guess {
 public:
  [[nodiscard]] bool likely() const noexcept { return likely_.load(std::memory_order_relaxed); }

  void came_by_ring() noexcept {
    const std::uint8_t left = left_.load(std::memory_order_relaxed);
    if (left == 0) {
      likely_.store(true, std::memory_order_relaxed);
    } else {
      left_.store(static_cast<std::uint8_t>(left - 1), std::memory_order_relaxed);
    }
  }
  void was_there() noexcept {
    pause_.store(0, std::memory_order_relaxed);
    found_.store(true, std::memory_order_relaxed);
    likely_.store(true, std::memory_order_relaxed);
  }
  /// Or an error: who has failed is to wait in the reactor before the next try.
  void was_not_there() noexcept {
    likely_.store(false, std::memory_order_relaxed);
    if (found_.exchange(false, std::memory_order_relaxed)) return;
    const int twice = 2 * pause_.load(std::memory_order_relaxed) + 1;
    const auto pause = static_cast<std::uint8_t>(std::min(twice, most_without_trial));
    pause_.store(pause, std::memory_order_relaxed);
    left_.store(pause, std::memory_order_relaxed);
  }

 private:
  static constexpr int most_without_trial = 15;

  std::atomic<bool> likely_{false};
  std::atomic<bool> found_{false};      // since the ring has given one
  std::atomic<std::uint8_t> pause_{0};  // connections without a trial after the latest trial
  std::atomic<std::uint8_t> left_{0};   // of those
};

}  // namespace weir::detail
