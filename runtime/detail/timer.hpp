#pragma once

#include <atomic>
#include <cstdint>

#include "../clock.hpp"
#include "intrusive_list.hpp"

namespace weir::detail {

class timer_wheel;

/// Something that happens at a point in time. Lives in whoever arms it; armed at most once at a time.
class timer : public list_hook {
 public:
  timer() = default;
  timer(const timer&) noexcept : list_hook() {}
  timer& operator=(const timer&) = delete;

 protected:
  ~timer() = default;

  /// The end of a fire() after which this object lives on: releases who waits in retire_timer. Nothing of the timer may
  /// be used after it.
  void settle() noexcept { phase_.store(phase::fired, std::memory_order_release); }

 private:
  friend class timer_wheel;
  /// Called by the worker that owns the wheel, with no lock held. Its last act is either settle() or making the frame
  /// ready in which the timer lives.
  virtual void fire() noexcept = 0;

  enum class phase : std::uint8_t { idle, armed, firing, fired, withdrawn };
  timer_wheel* wheel_ = nullptr;
  std::uint64_t due_ = 0;  // microseconds on the wheel's scale, rounded up
  // Last: a derived class puts its own small members into the same word.
  std::atomic<phase> phase_{phase::idle};
  std::uint8_t level_ = 0;
  std::uint8_t slot_ = 0;
};

enum class timer_cancel : std::uint8_t {
  removed,    ///< it was armed and will not fire
  withdrawn,  ///< it was not armed yet: arm_timer will refuse it
  too_late,   ///< it fires or has fired
};

/// When something ends that begins now and has `length` of time. Late by up to two ticks of the kernel (8 ms at 250 Hz)
/// where it has a second or more: then the clock is read that the kernel sets at each tick, for a sixth of the time.
[[nodiscard]] time_point deadline_after(duration length) noexcept;
/// Arms `t` on the calling worker's wheel (never, for no_deadline). False when it was cancelled before. O(1).
bool arm_timer(timer& t, time_point due) noexcept;
/// From any thread. O(1).
timer_cancel cancel_timer(timer& t) noexcept;
/// The same for a timer that was armed; when it returns, fire() is not running either.
void retire_timer(timer& t) noexcept;

}  // namespace weir::detail
