#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <utility>

namespace weir {

/// What a stage of a pipeline has done so far. Give its address to the stage's options and read it from anywhere while
/// the pipeline runs; it must outlive the pipeline. Numbers of items only grow. When the pipeline has ended by itself
/// they are exact. A stage without counters spends nothing on them.
///
///     weir::stage_counters parsed{"parse"};
///     ... | weir::transform(parse, {.workers = 4, .counters = &parsed}) | ...
///     fmt::print("{} lines, {} of them bad\n", parsed.in(), parsed.dropped());
class stage_counters {
 public:
  explicit stage_counters(std::string name = {}) : name_(std::move(name)) {}
  stage_counters(const stage_counters&) = delete;
  stage_counters& operator=(const stage_counters&) = delete;

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  /// Items that came in, and that went on to the next stage (of a batch: batches).
  [[nodiscard]] std::uint64_t in() const noexcept { return read(in_); }
  [[nodiscard]] std::uint64_t out() const noexcept { return read(out_); }
  /// Items that the stage let fall: those that a filter refused.
  [[nodiscard]] std::uint64_t dropped() const noexcept { return read(dropped_); }
  /// Items for which the stage's function threw.
  [[nodiscard]] std::uint64_t errors() const noexcept { return read(errors_); }
  /// Workers of the stage that are inside its function now, and that wait for room behind it. A stage that is blocked
  /// all the time waits for the one behind; the one that is busy all the time is the bottleneck.
  [[nodiscard]] std::uint64_t busy() const noexcept { return read(busy_); }
  [[nodiscard]] std::uint64_t blocked() const noexcept { return read(blocked_); }
  /// Items that wait in the stage's own queue. A stage that takes from the room behind the one before it, or from a
  /// channel, has none.
  [[nodiscard]] std::uint64_t queued() const noexcept {
    const std::uint64_t taken = in();  // first, so that the difference is not negative
    const std::uint64_t came = read(queued_);
    return came > taken ? came - taken : 0;
  }

  // For stages.
  void count_queued() noexcept { add(queued_); }
  void count_in() noexcept { add(in_); }
  void count_out() noexcept { add(out_); }
  void count_dropped() noexcept { add(dropped_); }
  void count_error() noexcept { add(errors_); }
  void change_busy(int by) noexcept { busy_.fetch_add(static_cast<std::uint64_t>(by), std::memory_order_relaxed); }
  void change_blocked(int by) noexcept {
    blocked_.fetch_add(static_cast<std::uint64_t>(by), std::memory_order_relaxed);
  }

 private:
  using number = std::atomic<std::uint64_t>;
  static std::uint64_t read(const number& n) noexcept { return n.load(std::memory_order_relaxed); }
  static void add(number& n) noexcept { n.fetch_add(1, std::memory_order_relaxed); }

  const std::string name_;
  number in_{0};
  number out_{0};
  number dropped_{0};
  number errors_{0};
  number busy_{0};
  number blocked_{0};
  number queued_{0};
};

}  // namespace weir
