#pragma once

#include <atomic>
#include <cstdint>

namespace weir::detail {

/// A count that one thread raises, without a locked instruction, and any thread may read.
class counter {
 public:
  void add(std::uint64_t more = 1) noexcept {
    value_.store(value_.load(std::memory_order_relaxed) + more, std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t read() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

}  // namespace weir::detail
