#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <utility>

#include "../runtime/detail/take.hpp"

namespace weir {

namespace detail {
class stage_tally;
}

/// What a stage of a pipeline has done so far. Give its address to the stage's options and read it from anywhere while
/// the pipeline runs; it must outlive the pipeline. Numbers of items only grow. When the pipeline has ended by itself
/// they are exact. A stage without counters spends nothing on them; with counters it allocates a little for each of its
/// tasks, and counts without a locked instruction.
///
///     weir::stage_counters parsed{"parse"};
///     ... | weir::transform(parse, {.workers = 4, .counters = &parsed}) | ...
///     fmt::print("{} lines, {} of them bad\n", parsed.in(), parsed.dropped());
class stage_counters {
 public:
  explicit stage_counters(std::string name = {}) : name_(std::move(name)) {}
  stage_counters(const stage_counters&) = delete;
  stage_counters& operator=(const stage_counters&) = delete;
  ~stage_counters() {
    for (part* p = first_.load(std::memory_order_acquire); p;) {
      part* const done = p;
      p = p->next;
      delete done;
    }
  }

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  /// Items that came in, and that went on to the next stage (of a batch: batches).
  [[nodiscard]] std::uint64_t in() const noexcept { return sum(&part::in); }
  [[nodiscard]] std::uint64_t out() const noexcept { return sum(&part::out); }
  /// Items that the stage let fall: those that a filter refused, or that nobody behind it took any more.
  [[nodiscard]] std::uint64_t dropped() const noexcept { return sum(&part::dropped); }
  /// Items for which the stage's function threw.
  [[nodiscard]] std::uint64_t errors() const noexcept { return sum(&part::errors); }
  /// Workers of the stage that are inside its function now, and that wait for room behind it. A stage that is blocked
  /// all the time waits for the one behind; the one that is busy all the time is the bottleneck.
  [[nodiscard]] std::uint64_t busy() const noexcept { return sum(&part::busy); }
  [[nodiscard]] std::uint64_t blocked() const noexcept { return sum(&part::blocked); }
  /// Items that wait in the stage's own queue. A stage that takes from the room behind the one before it, or from a
  /// channel, has none.
  [[nodiscard]] std::uint64_t queued() const noexcept {
    const std::uint64_t taken = in();  // first, so that the difference is not negative
    const std::uint64_t came = sum(&part::queued);
    return came > taken ? came - taken : 0;
  }

 private:
  friend class detail::stage_tally;
  using number = std::atomic<std::uint64_t>;

  /// What one task of the stage has counted. Only that task writes it.
  struct alignas(64) part {
    number in{0};
    number out{0};
    number dropped{0};
    number errors{0};
    number queued{0};
    std::atomic<std::uint32_t> busy{0};
    std::atomic<std::uint32_t> blocked{0};
    std::atomic<bool> taken{false};
    part* next = nullptr;  // does not change once the part can be found
  };

  /// A part that no task has: one whose task has ended goes on where that has stopped.
  part& claim() {
    for (part* p = first_.load(std::memory_order_acquire); p; p = p->next) {
      if (!p->taken.load(std::memory_order_relaxed) && !p->taken.exchange(true, std::memory_order_acquire)) return *p;
    }
    auto* const made = new part;
    made->taken.store(true, std::memory_order_relaxed);
    made->next = first_.load(std::memory_order_relaxed);
    while (!first_.compare_exchange_weak(made->next, made, std::memory_order_release, std::memory_order_relaxed)) {
    }
    return *made;
  }
  template <class Number>
  [[nodiscard]] std::uint64_t sum(Number part::* which) const noexcept {
    std::uint64_t total = 0;
    for (const part* p = first_.load(std::memory_order_acquire); p; p = p->next) {
      total += (p->*which).load(std::memory_order_relaxed);
    }
    return total;
  }

  const std::string name_;
  std::atomic<part*> first_{nullptr};
};

/// The numbers as a line to be read: "parse: 1200 in, 1180 out, 20 dropped, 64 queued, 4 busy". What is 0 is left out,
/// but for what came in and went out.
std::string to_string(const stage_counters& stage);

namespace detail {

/// One task's part in a stage's counters, if the stage has any. For that task alone: counting takes no locked
/// instruction.
class stage_tally {
 public:
  explicit stage_tally(stage_counters* counters) : part_(counters ? &counters->claim() : nullptr) {}
  stage_tally(stage_tally&& other) noexcept : part_(detail::take(other.part_)) {}
  stage_tally& operator=(stage_tally&&) = delete;
  ~stage_tally() {
    if (part_) part_->taken.store(false, std::memory_order_release);
  }

  void count_queued() noexcept { add(&stage_counters::part::queued, 1); }
  void count_in() noexcept { add(&stage_counters::part::in, 1); }
  void count_out() noexcept { add(&stage_counters::part::out, 1); }
  void count_dropped() noexcept { add(&stage_counters::part::dropped, 1); }
  void count_error() noexcept { add(&stage_counters::part::errors, 1); }
  void change_busy(int by) noexcept { add(&stage_counters::part::busy, by); }
  void change_blocked(int by) noexcept { add(&stage_counters::part::blocked, by); }

 private:
  template <class Number>
  void add(Number stage_counters::part::* which, int by) noexcept {
    if (!part_) return;
    Number& n = part_->*which;
    using value = typename Number::value_type;
    n.store(n.load(std::memory_order_relaxed) + static_cast<value>(by), std::memory_order_relaxed);
  }

  stage_counters::part* part_;
};

}  // namespace detail
}  // namespace weir
