#pragma once

#include <atomic>
#include <cstdint>

namespace weir::detail {

/// A count that any task may raise and anybody may read. It moves with its owner, while nobody uses that.
class tally {
 public:
  tally() = default;
  tally(tally&& other) noexcept : count_(other.read()) {}
  tally& operator=(tally&&) = delete;
  ~tally() = default;

  void add() noexcept { count_.fetch_add(1, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t read() const noexcept { return count_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> count_{0};
};

}  // namespace weir::detail
