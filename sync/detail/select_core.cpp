#include "select_core.hpp"

#include <algorithm>
#include <functional>
#include <utility>

#include "../../runtime/detail/scheduler.hpp"

namespace weir::detail {

std::size_t commit_one(select_case* cases, std::size_t count, bool ordered) noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    if (!ordered) {
      // Fisher and Yates' shuffle, as far as it is needed.
      const auto left = static_cast<std::uint32_t>(count - i);
      if (left > 1) std::swap(cases[i], cases[i + random_below(left)]);
    }
    if (cases[i].of->try_commit(cases[i].operation)) return cases[i].index;
  }
  return no_case;
}

bool select_core::try_now(const await_context& context, select_case* cases, std::size_t count, bool ordered) noexcept {
  cases_ = cases;
  count_ = count;
  ordered_ = ordered;
  if (!may_complete_now(context)) return false;
  chosen_ = commit_one(cases, count, ordered);
  return chosen_ != no_case;
}

bool select_core::arm_brief(std::size_t brief) noexcept {
  for (;;) {
    if (brief != count_) std::partition(cases_, cases_ + count_, [](const auto& one) { return !one.of->lingers; });
    // Two selects that have objects in common come to them in the same order: the second one finds the first there, and
    // only the second has to take itself back.
    std::sort(cases_, cases_ + brief, [](const auto& a, const auto& b) {
      const void* const first = a.of->object(a.operation);
      const void* const second = b.of->object(b.operation);
      return first == second ? a.index < b.index : std::less<>()(first, second);
    });
    while (armed_ < brief && cases_[armed_].of->arm(cases_[armed_].operation, {this, cases_[armed_].index})) ++armed_;
    if (armed_ == brief || !take_back()) return true;
    // A case can be had. Nobody can choose another one now, so it may be committed, or another one in its place.
    withdraw_armed();
    // Also for the shuffle: a seed is to choose the same, wherever in memory the objects lie.
    std::sort(cases_, cases_ + count_, [](const auto& a, const auto& b) { return a.index < b.index; });
    chosen_ = commit_one(cases_, count_, ordered_);
    if (chosen_ != no_case) {
      complete();
      return false;
    }
    if (!open_again()) {
      complete_stopped();
      return false;
    }
  }
}

void select_core::wait(const await_context& context) noexcept {
  if (!begin(context) || !arm_brief(count_)) return;
  switch (finish_arming()) {
    case armed_outcome::waiting:
      return;
    case armed_outcome::fulfilled:
      complete();
      return;
    case armed_outcome::stopped:
      withdraw_armed();
      complete_stopped();
      return;
  }
}

std::size_t select_core::conclude() noexcept {
  finish();
  withdraw_armed();
  return chosen_ != no_case ? chosen_ : winner();
}

void select_core::withdraw_armed() noexcept {
  for (; armed_ > 0; --armed_) cases_[armed_ - 1].of->withdraw(cases_[armed_ - 1].operation);
}

void select_core::go_on(bool next) noexcept {
  if (next) {
    complete_next();
  } else {
    complete();
  }
}

void select_core::request_stop(cancellation_cause) noexcept {
  if (!decide_stop()) return;
  withdraw_armed();
  complete_stopped();
}

// ---- with cases that linger

void lingering_select_core::wait(const await_context& context) noexcept {
  brief_ = static_cast<std::size_t>(
      std::count_if(cases_, cases_ + count_, [](const auto& one) { return !one.of->lingers; }));
  if (!begin(context) || !arm_brief(brief_)) return;
  owner_ = current_worker();
  // Their order is theirs alone: nobody else waits at what they wait at.
  while (brief_ + asked_for_ < count_ && !is_decided()) {
    const select_case& next = cases_[brief_ + asked_for_];
    ++asked_for_;
    ++pending_;
    static_cast<void>(next.of->arm(next.operation, {this, next.index}));
  }
  switch (finish_arming()) {
    case armed_outcome::waiting:
      return;
    case armed_outcome::fulfilled:
      withdraw_lingering();
      return;
    case armed_outcome::stopped:
      withdraw_armed();
      stopping_ = true;
      withdraw_lingering();
      return;
  }
}

void lingering_select_core::go_on(bool) noexcept { end(); }

void lingering_select_core::request_stop(cancellation_cause) noexcept {
  if (!decide_stop()) return;
  withdraw_armed();
  stopping_ = true;
  end();
}

void lingering_select_core::end() noexcept {
  if (current_worker() == owner_) {
    withdraw_lingering();
  } else {
    post(*owner_, *this);
  }
}

void lingering_select_core::withdraw_lingering() noexcept {
  ending_ = true;
  ++pending_;  // ourselves, who are not through
  for (std::size_t i = 0; i < asked_for_; ++i) cases_[brief_ + i].of->withdraw(cases_[brief_ + i].operation);
  case_ended();
}

void lingering_select_core::case_ended() noexcept {
  if (--pending_ != 0 || !ending_) return;
  if (stopping_) {
    complete_stopped();
  } else {
    complete();
  }
}

}  // namespace weir::detail
