#pragma once

#include <optional>
#include <type_traits>
#include <utility>

#include "../../runtime/detail/invoke.hpp"
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

/// A function that makes nothing of an item when that has failed and is dealt with: it returns an optional, or a task
/// of one, and what is in there goes on.
template <class Fn>
inline constexpr bool may_make_nothing = false;

/// What a stage's function, be it plain or a task, makes of a T.
template <class Fn, class T>
struct stage_result {
  using type = std::remove_cvref_t<typename unwrapped_task<stage_return_t<Fn, T>>::type>;
};
template <class Fn, class T>
  requires may_make_nothing<Fn>
struct stage_result<Fn, T> {
  using type = typename unwrapped_task<stage_return_t<Fn, T>>::type::value_type;
};
template <class Fn, class T>
using stage_result_t = typename stage_result<Fn, T>::type;

/// Calls a plain function; empty when it has made nothing.
template <class Fn, class T>
std::optional<stage_result_t<Fn, T>> make_of(Fn& function, T&& item) {
  if constexpr (may_make_nothing<Fn>) {
    return detail::invoke(function, std::forward<T>(item));
  } else {
    return std::optional<stage_result_t<Fn, T>>(std::in_place, detail::invoke(function, std::forward<T>(item)));
  }
}
/// The same of what the task of a function has completed with.
template <class Fn, class U, class Made>
void put_made(std::optional<U>& into, Made&& made) {
  if constexpr (may_make_nothing<Fn>) {
    if (made) into.emplace(*std::forward<Made>(made));
  } else {
    into.emplace(std::forward<Made>(made));
  }
}

/// Counts a call of a stage's function, also one that throws or is stopped; one that goes on with an item that is
/// counted already if it is no `new_item`.
class counted_call {
 public:
  explicit counted_call(stage_tally& tally, bool new_item = true) noexcept : tally_(tally) {
    if (new_item) tally_.count_in();
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
