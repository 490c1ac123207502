#include "run_queue.hpp"

#include <algorithm>
#include <mutex>

namespace weir::detail {

std::size_t run_queue::locked(std::size_t (run_queue::*add)(promise_base&) noexcept, promise_base& frame) noexcept {
  const std::lock_guard guard(lock_);
  return (this->*add)(frame);
}

promise_base* run_queue::locked_take() noexcept {
  const std::lock_guard guard(lock_);
  return size() == 0 ? nullptr : take();
}

std::size_t run_queue::append_woken(frame_list& list, std::size_t count) noexcept {
  const optional_guard guard(lock_, shared_);
  while (!list.empty()) woken_.push_back(*list.pop_front());
  return resize(size() + count);
}

// Half of the picks for what was passed over keep woken tasks going. More only when that is not enough, which shows in
// a queue that has grown although woken tasks had the other half: then whoever spawns so much has to wait for it.
promise_base* run_queue::take_oldest() noexcept {
  constexpr std::size_t most = std::size_t{1} << 30;
  promise_base* oldest = spawned_.pop_back();
  if (!passed_over_) {
    moved_at_once_ = fair_share;
  } else {
    if (size() > size_before_ && moved_at_once_ < most) moved_at_once_ *= 2;
    for (std::size_t n = 0; n < moved_at_once_ && !spawned_.empty(); ++n) woken_.push_back(*spawned_.pop_back());
  }
  passed_over_ = true;
  size_before_ = size();
  return oldest;
}

std::size_t run_queue::steal_into(run_queue& thief) noexcept {
  frame_list loot;
  std::size_t count = 0;
  bool spawned = false;
  {
    const std::lock_guard guard(lock_);
    const std::size_t most = std::min((size() + 1) / 2, most_stolen);
    spawned = !spawned_.empty();
    while (count < most && !spawned_.empty()) {
      loot.push_back(*spawned_.pop_back());
      ++count;
    }
    if (!spawned) {
      for (; count < most && !woken_.empty(); ++count) {
        promise_base* frame = woken_.pop_back();
        frame->at_front = false;
        loot.push_front(*frame);
      }
    }
    resize(size() - count);
  }
  if (count == 0) return 0;
  const std::lock_guard guard(thief.lock_);
  thief.resize(thief.size() + count);
  while (!loot.empty()) {
    promise_base& oldest = *loot.pop_front();
    if (spawned) {
      thief.spawned_.push_front(oldest);
    } else {
      thief.woken_.push_back(oldest);
    }
  }
  return count;
}

std::size_t run_queue::size_now() noexcept {
  const std::lock_guard guard(lock_);
  return size();
}

void run_queue::clear() noexcept {
  woken_ = frame_list();
  spawned_ = frame_list();
  resize(0);
  lock_.unlock();
}

// The links of a frame are not used here; one of them says that it is in the queue.
void seeded_queue::push(promise_base& frame) {
  if (frame.next == &frame) fatal("weir: a task was made ready that is ready already: it would be resumed twice");
  frame.next = &frame;
  ready_.push_back(&frame);
}

promise_base* seeded_queue::pop(run_trace& trace) noexcept {
  if (ready_.empty()) return nullptr;
  const auto count = static_cast<std::uint32_t>(ready_.size());
  const std::uint32_t chosen = random_.below(count);
  if (count > 1) trace.note(run_trace::step::pick, (std::uint64_t{count} << 32) | chosen);
  promise_base* frame = ready_[chosen];
  ready_[chosen] = ready_.back();
  ready_.pop_back();
  frame->next = nullptr;
  return frame;
}

unsigned seeded_queue::next_turn(run_trace& trace) noexcept {
  const unsigned tasks = 1 + random_.below(8);
  if (ready_.size() > 1) trace.note(run_trace::step::turn, tasks);
  return tasks;
}

}  // namespace weir::detail
