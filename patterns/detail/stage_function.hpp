#pragma once

#include <functional>
#include <type_traits>

#include "../../runtime/detail/operation.hpp"
#include "../../runtime/detail/scheduler.hpp"
#include "../../runtime/task.hpp"
#include "../stage_counters.hpp"

// What transform and for_each ask of a user's function, and how its calls are counted.

namespace weir::detail {

/// What a stage's function returns for a T that is moved in.
template <class Fn, class T>
using stage_return_t = std::invoke_result_t<Fn&, T>;

template <class Fn, class T>
inline constexpr bool is_async_stage = is_task<stage_return_t<Fn, T>>;

/// Returns something to be awaited that no stage awaits: a send, a sleep, ...
template <class Fn, class T>
inline constexpr bool returns_lost_operation = operation<stage_return_t<Fn, T>> && !is_async_stage<Fn, T>;

template <class R>
struct unwrapped_task {
  using type = R;
};
template <class R>
struct unwrapped_task<task<R>> {
  using type = R;
};
/// What a stage's function, be it plain or a task, makes of a T.
template <class Fn, class T>
using stage_result_t = std::remove_cvref_t<typename unwrapped_task<stage_return_t<Fn, T>>::type>;

/// Counts a call of a stage's function, also one that throws or is stopped.
class counted_call {
 public:
  explicit counted_call(stage_tally& tally) noexcept : tally_(tally) {
    tally_.count_in();
    tally_.change_busy(+1);
  }
  counted_call(const counted_call&) = delete;
  counted_call& operator=(const counted_call&) = delete;
  ~counted_call() {
    tally_.change_busy(-1);
    if (!returned_ && !is_unwinding()) tally_.count_error();
  }
  void returned() noexcept { returned_ = true; }

 private:
  stage_tally& tally_;
  bool returned_ = false;
};

/// Counts the time that an item waits for room behind a stage, and then the item.
class counted_hand_on {
 public:
  explicit counted_hand_on(stage_tally& tally) noexcept : tally_(tally) { tally_.change_blocked(+1); }
  counted_hand_on(const counted_hand_on&) = delete;
  counted_hand_on& operator=(const counted_hand_on&) = delete;
  ~counted_hand_on() { tally_.change_blocked(-1); }
  void done() noexcept { tally_.count_out(); }

 private:
  stage_tally& tally_;
};

}  // namespace weir::detail
