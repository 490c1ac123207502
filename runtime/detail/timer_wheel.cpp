#include "timer_wheel.hpp"

#include <algorithm>
#include <bit>
#include <limits>

namespace weir::detail {

namespace {

constexpr std::uint64_t never = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint8_t nowhere = 255;  // the level of a timer that never fires

}  // namespace

std::uint64_t timer_wheel::ticks_up(time_point at) const noexcept {
  if (at <= epoch_) return 0;
  const auto length = static_cast<std::uint64_t>((at - epoch_).count());
  return length / 1000 + (length % 1000 != 0);
}

bool timer_wheel::arm(timer& t, time_point due) noexcept {
  optional_guard guard(lock_, shared_);
  t.wheel_ = this;
  t.level_ = nowhere;
  auto found = t.phase_.load(std::memory_order_relaxed);
  // The step from idle is one that a canceller may take, too, where there are several threads. From anything else but
  // withdrawn: it is armed again, after it had fired.
  const bool contested = shared_ && found == timer::phase::idle;
  if (!contested || !t.phase_.compare_exchange_strong(found, timer::phase::armed, std::memory_order_acq_rel)) {
    if (found == timer::phase::withdrawn) return false;
    t.phase_.store(timer::phase::armed, std::memory_order_relaxed);
  }
  if (due == no_deadline) return true;
  // A deadline that has passed goes to the next tick: everything up to elapsed_ has been fired.
  t.due_ = std::max(ticks_up(due), elapsed_ + 1);
  resize(+1);
  place(t);
  return true;
}

void timer_wheel::place(timer& t) noexcept {
  // Deadlines beyond the wheel's reach wait in its last slot and are placed again from there. That is 63 slots ahead:
  // on no level does the present's own slot hold anything.
  constexpr unsigned top = (levels - 1) * bits;
  const std::uint64_t due = std::min(t.due_, (((elapsed_ >> top) + slots) << top) - 1);
  // The level is that of the highest group of bits in which the deadline and the present differ.
  const std::uint64_t differ = due ^ elapsed_;
  const unsigned index = differ == 0 ? 0 : static_cast<unsigned>(std::bit_width(differ) - 1) / bits;
  const unsigned l = std::min(index, levels - 1);
  const auto s = static_cast<unsigned>((due >> (l * bits)) & (slots - 1));
  t.level_ = static_cast<std::uint8_t>(l);
  t.slot_ = static_cast<std::uint8_t>(s);
  levels_[l].slot[s].push_back(t);
  levels_[l].occupied |= std::uint64_t{1} << s;
}

void timer_wheel::take_out(timer& t) noexcept {
  if (t.level_ == nowhere) return;
  t.list_hook::unlink();
  resize(-1);
  level& l = levels_[t.level_];
  if (t.slot_ < slots && l.slot[t.slot_].empty()) l.occupied &= ~(std::uint64_t{1} << t.slot_);
}

timer_cancel timer_wheel::cancel(timer& t) noexcept {
  // A look first: mostly it is armed.
  auto found = t.phase_.load(std::memory_order_acquire);
  if (found == timer::phase::idle &&
      t.phase_.compare_exchange_strong(found, timer::phase::withdrawn, std::memory_order_acq_rel)) {
    return timer_cancel::withdrawn;
  }
  if (found != timer::phase::armed) return timer_cancel::too_late;
  return t.wheel_->cancel_armed(t);
}

timer_cancel timer_wheel::cancel_armed(timer& t) noexcept {
  optional_guard guard(lock_, shared_);
  if (t.phase_.load(std::memory_order_relaxed) != timer::phase::armed) return timer_cancel::too_late;
  take_out(t);
  t.phase_.store(timer::phase::fired, std::memory_order_relaxed);
  return timer_cancel::removed;
}

void timer_wheel::wait_until_fired(timer& t) noexcept {
  backoff wait;
  while (t.phase_.load(std::memory_order_acquire) == timer::phase::firing) wait.pause();
}

std::uint64_t timer_wheel::next_tick() const noexcept {
  for (unsigned l = 0; l < levels; ++l) {
    if (levels_[l].occupied == 0) continue;
    const unsigned shift = l * bits;
    const auto here = static_cast<unsigned>((elapsed_ >> shift) & (slots - 1));
    // Slots before the present one belong to the next round; only the topmost level can have those.
    const std::uint64_t rotated = std::rotr(levels_[l].occupied, static_cast<int>(here));
    const auto distance = static_cast<std::uint64_t>(std::countr_zero(rotated));
    const std::uint64_t base = elapsed_ >> shift;
    // Lower levels hold what comes within their span, so the first one that is occupied has the nearest.
    return (base + distance) << shift;
  }
  return never;
}

time_point timer_wheel::next_due() noexcept {
  optional_guard guard(lock_, shared_);
  const std::uint64_t tick = next_tick();
  if (tick == never) return no_deadline;
  constexpr auto most = static_cast<std::uint64_t>(duration::max().count() / 1000);
  return add_saturated(epoch_, std::chrono::nanoseconds(static_cast<std::int64_t>(std::min(tick, most)) * 1000));
}

std::size_t timer_wheel::advance(time_point now) noexcept {
  if (now <= epoch_) return 0;
  const std::uint64_t target = static_cast<std::uint64_t>((now - epoch_).count()) / 1000;
  std::size_t fired = 0;
  optional_guard guard(lock_, shared_);
  for (;;) {
    const std::uint64_t tick = next_tick();
    if (tick > target) break;
    elapsed_ = tick;
    // Everything in the slots that begin at this tick either is due or moves down.
    for (unsigned l = levels; l-- > 0;) {
      const unsigned shift = l * bits;
      if (l > 0 && (tick & ((std::uint64_t{1} << shift) - 1)) != 0) continue;
      const auto s = static_cast<unsigned>((tick >> shift) & (slots - 1));
      if ((levels_[l].occupied & (std::uint64_t{1} << s)) == 0) continue;
      levels_[l].occupied &= ~(std::uint64_t{1} << s);
      intrusive_list<timer> moving;
      moving.splice_back(levels_[l].slot[s]);
      while (!moving.empty()) {
        timer& t = moving.pop_front();
        if (t.due_ <= tick) {
          t.level_ = 0;
          t.slot_ = slots;  // in no slot: in due_
          due_.push_back(t);
        } else {
          place(t);
        }
      }
    }
    while (!due_.empty()) {
      timer& t = due_.pop_front();
      resize(-1);
      t.phase_.store(timer::phase::firing, std::memory_order_relaxed);
      guard.unlock();
      t.fire();
      ++fired;
      guard.relock();
    }
  }
  elapsed_ = std::max(elapsed_, target);
  return fired;
}

}  // namespace weir::detail
