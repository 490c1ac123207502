#include "run_queue.hpp"

#include <mutex>

namespace weir::detail {

std::size_t run_queue::push_woken(promise_base& frame) noexcept {
  optional_guard guard(lock_, shared_);
  woken_.push_back(frame);
  return resize(size() + 1);
}

std::size_t run_queue::push_front(promise_base& frame) noexcept {
  optional_guard guard(lock_, shared_);
  frame.at_front = true;
  woken_.push_front(frame);
  return resize(size() + 1);
}

std::size_t run_queue::push_last(promise_base& frame) noexcept {
  optional_guard guard(lock_, shared_);
  while (!spawned_.empty()) woken_.push_back(*spawned_.pop_back());
  woken_.push_back(frame);
  return resize(size() + 1);
}

std::size_t run_queue::push_spawned(promise_base& frame) noexcept {
  optional_guard guard(lock_, shared_);
  spawned_.push_front(frame);
  return resize(size() + 1);
}

promise_base* run_queue::pop() noexcept {
  if (size() == 0) return nullptr;  // only the owner adds, so empty stays empty
  optional_guard guard(lock_, shared_);
  if (size() == 0) return nullptr;
  resize(size() - 1);
  if (++picks_ >= fairness) {
    picks_ = 0;
    if (!spawned_.empty()) return spawned_.pop_back();
  }
  return woken_.empty() ? spawned_.pop_front() : woken_.pop_front();
}

std::size_t run_queue::steal_into(run_queue& thief) noexcept {
  frame_list loot;
  std::size_t count = 0;
  {
    std::lock_guard guard(lock_);
    const std::size_t most = (size() + 1) / 2;
    while (count < most && !spawned_.empty()) {
      loot.push_back(*spawned_.pop_back());
      ++count;
    }
    if (count == 0) {
      while (count < most && !woken_.empty()) {
        promise_base* frame = woken_.pop_back();
        frame->at_front = false;
        loot.push_front(*frame);
        ++count;
      }
    }
    resize(size() - count);
  }
  if (count == 0) return 0;
  // The thief runs them in the order in which they became ready.
  std::lock_guard guard(thief.lock_);
  thief.resize(thief.size() + count);
  while (!loot.empty()) thief.woken_.push_back(*loot.pop_front());
  return count;
}

bool run_queue::empty_now() noexcept {
  std::lock_guard guard(lock_);
  return size() == 0;
}

promise_base* seeded_queue::pop() noexcept {
  if (ready_.empty()) return nullptr;
  const std::uint32_t chosen = random_.below(static_cast<std::uint32_t>(ready_.size()));
  promise_base* frame = ready_[chosen];
  ready_[chosen] = ready_.back();
  ready_.pop_back();
  return frame;
}

std::uint64_t random_numbers::next() noexcept {
  std::uint64_t z = (state_ += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

}  // namespace weir::detail
