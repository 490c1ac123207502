#pragma once

#include <algorithm>

#include "../clock.hpp"

namespace weir::detail {

/// For how long a worker that was woken to help is not to be woken again. Tasks that talk to each other all the time,
/// with little to do in between, always leave two or three ready: a worker that is woken for them finds work for a
/// microsecond, parks, and is woken again, and the channels between the tasks wander from cache to cache. So a wake-up
/// has to bring more than it costs, or the next one has to wait, longer each time.
class wakeup_pause {
 public:
  /// What a wake-up costs in CPU: the system call of who wakes, and the way out of the kernel and back into it.
  static constexpr duration worth_it = std::chrono::microseconds(5);
  static constexpr duration first = std::chrono::microseconds(125);
  /// At most so long a ready task waits behind one that computes, while another worker rests.
  static constexpr duration longest = std::chrono::milliseconds(1);

  /// The worker was `busy` for so long with what it found. Zero: it may be woken again at once.
  duration after(duration busy) noexcept {
    length_ = busy >= worth_it ? duration::zero() : std::clamp(2 * length_, first, longest);
    return length_;
  }

 private:
  duration length_ = duration::zero();
};

}  // namespace weir::detail
