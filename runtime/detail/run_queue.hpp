#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "promise_base.hpp"
#include "run_trace.hpp"
#include "spin_lock.hpp"

namespace weir::detail {

/// A doubly linked list of frames; owns nothing.
class frame_list {
 public:
  [[nodiscard]] bool empty() const noexcept { return !head_; }
  void push_back(promise_base& frame) noexcept {
    frame.next = nullptr;
    frame.previous = tail_;
    (tail_ ? tail_->next : head_) = &frame;
    tail_ = &frame;
  }
  void push_front(promise_base& frame) noexcept {
    frame.previous = nullptr;
    frame.next = head_;
    (head_ ? head_->previous : tail_) = &frame;
    head_ = &frame;
  }
  [[nodiscard]] const promise_base* first() const noexcept { return head_; }
  promise_base* pop_front() noexcept {
    promise_base* frame = head_;
    head_ = frame->next;
    (head_ ? head_->previous : tail_) = nullptr;
    return frame;
  }
  promise_base* pop_back() noexcept {
    promise_base* frame = tail_;
    tail_ = frame->previous;
    (tail_ ? tail_->next : head_) = nullptr;
    return frame;
  }

 private:
  promise_base* head_ = nullptr;
  promise_base* tail_ = nullptr;
};

/// The ready tasks of one worker. Woken tasks run first come, first served, and before spawned ones, which run newest
/// first so that a tree of tasks stays in cache; every 61st pick takes the oldest spawned one, so that nothing starves.
/// When that was the only way in which spawned ones came to run, because there was always a woken one, the oldest of
/// them become woken ones: so many that what woken tasks spawn cannot pile up. A lock is taken only where there are
/// thieves. They take the oldest spawned ones, which stay what they are: were they run in the order in which they were
/// spawned, a tree of tasks would unfold in breadth, and all of its leaves exist at once. Where none is spawned they
/// take the woken ones that would wait longest.
class run_queue {
 public:
  explicit run_queue(bool shared) noexcept : shared_(shared) {}

  /// How many are ready, this one included.
  std::size_t push_woken(promise_base& frame) noexcept {
    return shared_ ? locked(&run_queue::add_woken, frame) : add_woken(frame);
  }
  std::size_t push_front(promise_base& frame) noexcept {
    return shared_ ? locked(&run_queue::add_front, frame) : add_front(frame);
  }
  /// Behind everything else, spawned ones too: they count as woken from here on. O(1) for each of them, once.
  std::size_t push_last(promise_base& frame) noexcept {
    return shared_ ? locked(&run_queue::add_last, frame) : add_last(frame);
  }
  std::size_t push_spawned(promise_base& frame) noexcept {
    return shared_ ? locked(&run_queue::add_spawned, frame) : add_spawned(frame);
  }
  /// Owner only: the frames of `list`, of which there are `count`, as woken ones. Returns how many are ready.
  std::size_t append_woken(frame_list& list, std::size_t count) noexcept;
  /// Null when empty. Owner only.
  promise_base* pop() noexcept {
    if (size() == 0) return nullptr;  // only the owner adds, so empty stays empty
    return shared_ ? locked_take() : take();
  }
  /// Any thread: moves up to half into `thief`, at least one if there is one, and no more than what the lock may be
  /// held for. Returns how many.
  std::size_t steal_into(run_queue& thief) noexcept;

  /// Exact for the owner, a hint for others.
  [[nodiscard]] std::size_t size() const noexcept { return size_.load(std::memory_order_relaxed); }
  /// Exact for any thread: they look under the lock.
  [[nodiscard]] std::size_t size_now() noexcept;
  [[nodiscard]] bool empty_now() noexcept { return size_now() == 0; }
  /// Forgets them all. When there is no other thread any more, whatever it was about to do with the queue.
  void clear() noexcept;
  /// Calls `see` for each ready frame. While no task runs.
  template <class F>
  void for_each(F see) const {
    for (const frame_list* list : {&woken_, &spawned_}) {
      for (const promise_base* frame = list->first(); frame; frame = frame->next) see(*frame);
    }
  }

 private:
  static constexpr unsigned fairness = 61;
  static constexpr std::size_t fair_share = fairness / 2;
  static constexpr std::size_t most_stolen = 128;

  std::size_t add_woken(promise_base& frame) noexcept {
    woken_.push_back(frame);
    return resize(size() + 1);
  }
  std::size_t add_front(promise_base& frame) noexcept {
    frame.at_front = true;
    woken_.push_front(frame);
    return resize(size() + 1);
  }
  std::size_t add_last(promise_base& frame) noexcept {
    while (!spawned_.empty()) woken_.push_back(*spawned_.pop_back());
    woken_.push_back(frame);
    return resize(size() + 1);
  }
  std::size_t add_spawned(promise_base& frame) noexcept {
    spawned_.push_front(frame);
    return resize(size() + 1);
  }
  promise_base* take() noexcept {
    resize(size() - 1);
    if (++picks_ >= fairness) {
      picks_ = 0;
      if (!spawned_.empty()) return take_oldest();
    }
    if (!woken_.empty()) return woken_.pop_front();
    passed_over_ = false;
    return spawned_.pop_front();
  }
  promise_base* take_oldest() noexcept;
  // The same under the lock, out of line: locks cost more than calls.
  std::size_t locked(std::size_t (run_queue::*add)(promise_base&) noexcept, promise_base& frame) noexcept;
  promise_base* locked_take() noexcept;

  std::size_t resize(std::size_t size) noexcept {
    size_.store(size, std::memory_order_relaxed);
    return size;
  }

  const bool shared_;
  unsigned picks_ = 0;
  bool passed_over_ = false;                // since the last 61st pick no spawned frame has run in its ordinary turn
  std::size_t moved_at_once_ = fair_share;  // spawned frames that become woken when they were passed over
  std::size_t size_before_ = 0;             // at the last 61st pick
  spin_lock lock_;
  std::atomic<std::size_t> size_{0};
  frame_list woken_;
  frame_list spawned_;  // newest in front
};

/// Pseudo-random numbers. SplitMix64: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014.
class random_numbers {
 public:
  explicit random_numbers(std::uint64_t seed) noexcept : state_(seed) {}
  std::uint64_t next() noexcept {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  /// Uniform below `limit`. Multiply-shift: Lemire, "Fast Random Integer Generation in an Interval", 2019.
  std::uint32_t below(std::uint32_t limit) noexcept {
    return static_cast<std::uint32_t>(((next() >> 32) * limit) >> 32);
  }

 private:
  std::uint64_t state_;
};

/// The ready tasks of a simulation: the seed decides who is next, and after how many of them the reactor is asked.
class seeded_queue {
 public:
  explicit seeded_queue(std::uint64_t seed) noexcept : random_(seed) {}
  /// Ends the program with a sentence when `frame` is there already: it would be resumed twice.
  void push(promise_base& frame);
  promise_base* pop(run_trace& trace) noexcept;
  [[nodiscard]] std::size_t size() const noexcept { return ready_.size(); }
  void clear() noexcept { ready_.clear(); }
  template <class F>
  void for_each(F see) const {
    for (const promise_base* frame : ready_) see(*frame);
  }
  unsigned next_turn(run_trace& trace) noexcept;
  /// How many leaves the task that runs next may complete without suspending: where other tasks of a real runtime would
  /// come in between, because they run on other workers, they do so here.
  unsigned next_budget() noexcept { return random_.below(2) == 0 ? 128 : random_.below(8); }

 private:
  random_numbers random_;
  std::vector<promise_base*> ready_;
};

}  // namespace weir::detail
