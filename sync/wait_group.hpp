#pragma once

#include <cstddef>
#include <utility>

#include "../runtime/detail/config.hpp"
#include "../runtime/detail/take.hpp"
#include "detail/countdown.hpp"

namespace weir {

class wait_group;

/// Something that a wait_group waits for, or several such things, until its end. Move-only; it may end on any thread.
/// The group must outlive it.
class [[nodiscard]] wait_group_token {
 public:
  wait_group_token() = default;
  wait_group_token(wait_group_token&& other) noexcept
      : group_(detail::take(other.group_)), count_(detail::take(other.count_)) {}
  wait_group_token& operator=(wait_group_token&& other) noexcept {
    wait_group_token taken(std::move(other));
    detail::trade(group_, taken.group_);
    detail::trade(count_, taken.count_);
    return *this;
  }
  ~wait_group_token() { done(); }

  /// How many things it still stands for.
  [[nodiscard]] std::size_t count() const noexcept { return count_; }

  /// All it stands for has happened, before the end of its life. Idempotent. Callable from destructors and callbacks.
  void done() noexcept;
  /// Takes `n` of them away into a token of their own. It must have so many.
  wait_group_token split(std::size_t n = 1) noexcept {
    WEIR_DETAIL_ASSERT(n <= count_, "split() of more than a wait_group_token stands for");
    count_ -= n;
    return {*group_, n};
  }

 private:
  friend class wait_group;
  wait_group_token(wait_group& group, std::size_t count) noexcept : group_(&group), count_(count) {}

  wait_group* group_ = nullptr;
  std::size_t count_ = 0;
};

/// Waits until a number of things that come and go have all come to their end.
///
///     weir::wait_group open_requests;
///     ...
///     auto token = open_requests.add();  // held as long as the request lives, on whichever way it ends
///     ...
///     co_await open_requests.wait();
///
/// What is counted are tokens, and they count down by ending: nothing can be counted down twice, or forgotten on an
/// early return. To join tasks use a task_group, which joins them on every way out and hands on what they throw; this
/// is for what is no task, or not one's own.
///
/// It may be used again and again: whoever waits goes on when no token is left, and add() after that begins anew.
/// Nothing that add() does can make a wait that is through wait again; so add() before whatever leads to wait().
///
/// What was done before a token's end is seen by whoever that lets through. Any thread may call any member, in or out
/// of a runtime. Allocates nothing. It must outlive its tokens and all who wait; destroying it before is told in debug
/// builds.
class wait_group : private detail::countdown {
 public:
  wait_group() noexcept : countdown(0) {}
  ~wait_group() {
    WEIR_DETAIL_ASSERT(countdown::is_zero(), "a wait_group was destroyed before the tokens that it had given");
  }

  /// A token for `n` things more. O(1).
  wait_group_token add(std::size_t n = 1) noexcept WEIR_DETAIL_LIFETIMEBOUND {
    countdown::add(n);
    return {*this, n};
  }

  /// For how many things there are tokens. A hint where others come and go.
  [[nodiscard]] std::size_t count() noexcept { return countdown::left(); }

  /// Completes when there is no token; at once if there is none now. Never fails.
  ///
  /// Cancelled while waiting: leaves the queue and stops; so `with_timeout(2s, group.wait())` leaves nothing behind.
  /// Under a token that is already cancelled it stops. Selectable. Allocates nothing; O(1).
  [[nodiscard]] detail::countdown_wait_operation wait() noexcept WEIR_DETAIL_LIFETIMEBOUND {
    return detail::countdown_wait_operation(*this, "wait_group::wait");
  }

  /// The same for a thread outside of every runtime, which it blocks. On a worker it throws std::logic_error where it
  /// would have to wait. Cannot be cancelled.
  void wait_blocking() {
    countdown::block(
        "weir: wait_group::wait_blocking would block a worker of a runtime, and all its tasks: co_await "
        "wait() instead");
  }

 private:
  friend class wait_group_token;
};

inline void wait_group_token::done() noexcept {
  wait_group* const group = detail::take(group_);
  if (const std::size_t n = detail::take(count_); group && n != 0) group->subtract(n);
}

}  // namespace weir
