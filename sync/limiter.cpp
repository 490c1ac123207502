#include "limiter.hpp"

#include <condition_variable>
#include <mutex>
#include <stdexcept>
#include <string>
#include <system_error>

#include "../runtime/detail/scheduler.hpp"
#include "../runtime/detail/spin_lock.hpp"
#include "../runtime/errors.hpp"

namespace weir {
namespace detail {

namespace {

/// A thread outside of every runtime, among the tasks: it keeps the time by waking up.
class limiter_thread final : public limiter_waiter {
 public:
  explicit limiter_thread(std::uint64_t n) noexcept : limiter_waiter(n) {}

  void wait(limiter_core& in) noexcept {
    std::unique_lock guard(mutex_);
    while (!done_) {
      if (due_ == no_deadline) {
        changed_.wait(guard);
      } else if (clock::now() < due_) {
        changed_.wait_until(guard, due_);
      } else {
        due_ = no_deadline;
        guard.unlock();
        in.time_has_come(*this);
        guard.lock();
      }
    }
  }

 private:
  void wake() noexcept override {
    const std::lock_guard guard(mutex_);
    done_ = true;
    changed_.notify_one();
  }
  void wake_stopped() noexcept override { wake(); }
  void call_at(time_point due) noexcept override {
    const std::lock_guard guard(mutex_);
    due_ = due;
    changed_.notify_one();
  }
  // A call that it has begun to make finds out that it was called off.
  bool call_off() noexcept override {
    const std::lock_guard guard(mutex_);
    const bool waits = due_ != no_deadline;
    due_ = no_deadline;
    return waits;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  time_point due_ = no_deadline;
  bool done_ = false;
};

}  // namespace

// ---- limiter_core

failure limiter_core::describe(limiter_waiter::ending how, std::uint64_t n) const {
  const std::string call = std::string("weir: acquire of ") + std::to_string(n) + " from a " + kind_;
  switch (how) {
    case limiter_waiter::ending::granted:
      return {};
    case limiter_waiter::ending::too_many:
      return {std::make_error_code(std::errc::invalid_argument), call + ", which never has so many at once"};
    case limiter_waiter::ending::too_long:
      return {std::make_error_code(std::errc::resource_unavailable_try_again), call + ", whose queue is full"};
    case limiter_waiter::ending::too_late:
      return failure::timeout();
  }
  return {};
}

void limiter_core::require(const limiter_waiter& w) const {
  if (w.how != limiter_waiter::ending::granted) describe(w.how, w.count).rethrow();
}

void limiter_core::grant(limiter_waiter& w, time_point at) noexcept {
  w.how = limiter_waiter::ending::granted;
  w.granted_at = at;
  granted_ += w.count;
}

void limiter_core::refuse(limiter_waiter& w, limiter_waiter::ending why) noexcept {
  w.how = why;
  ++refused_;
}

bool limiter_core::end_at_once(limiter_waiter& w) noexcept {
  if (w.count > most_at_once()) {
    refuse(w, limiter_waiter::ending::too_many);
  } else if (!waiting_.has_live(nullptr) && take(played_, w.count)) {
    grant(w, played_);
  } else if (waiting_count_ >= most_waiting_) {
    refuse(w, limiter_waiter::ending::too_long);
  } else {
    return false;
  }
  return true;
}

bool limiter_core::try_enter(limiter_waiter& w) noexcept {
  const section inside(*this);
  return end_at_once(w);
}

bool limiter_core::try_take(std::uint64_t n, time_point* when) {
  const section inside(*this);
  if (n > most_at_once()) describe(limiter_waiter::ending::too_many, n).rethrow();
  if (waiting_.has_live(nullptr) || !take(played_, n)) {
    ++refused_;
    return false;
  }
  granted_ += n;
  if (when) *when = played_;
  return true;
}

admission limiter_core::enter(limiter_waiter& w) noexcept {
  section inside(*this);
  if (w.withdrawn()) return admission::refused;
  if (end_at_once(w)) return admission::passed;
  if (w.deadline != no_deadline && when_behind(played_, tokens_ahead_, w.count) >= w.deadline) {
    refuse(w, limiter_waiter::ending::too_late);
    return admission::passed;
  }
  queue(w, inside);
  return admission::queued;
}

bool limiter_core::arm(limiter_waiter& w, case_link link) noexcept {
  w.in_select = link;
  section inside(*this);
  if (w.count > most_at_once() || waiting_count_ >= most_waiting_) return false;
  if (!waiting_.has_live(link.in) && when(played_, w.count) <= inside.now) return false;
  queue(w, inside);
  return true;
}

void limiter_core::queue(limiter_waiter& w, section& inside) noexcept {
  waiting_.push(w);
  count_in(w);
  if (!keeper_) inside.serve_again();
}

bool limiter_core::withdraw(limiter_waiter& w) noexcept {
  locked_section inside(lock_);
  if (!waiting_.withdraw(w)) return false;
  count_out(w);
  if (!free_of_calls(w)) w.fate_ = limiter_waiter::fate::stopped;
  serve(clock::now(), inside.woken);
  return w.fate_ == limiter_waiter::fate::open;
}

void limiter_core::take_out(limiter_waiter& w) noexcept {
  bool free = false;
  {
    locked_section inside(lock_);
    waiting_.take_out(w);
    count_out(w);
    free = free_of_calls(w);
    serve(clock::now(), inside.woken);
  }
  // Another worker is about to take the lock, or a message is in this worker's inbox.
  for (backoff wait; !free; wait.pause()) {
    drain_inbox();
    const std::lock_guard guard(lock_);
    free = !w.called_;
  }
}

void limiter_core::count_in(limiter_waiter& w) noexcept {
  w.counted_ = true;
  tokens_ahead_ += w.count;
  ++waiting_count_;
  ++waits_;
}

void limiter_core::count_out(limiter_waiter& w) noexcept {
  if (!w.counted_) return;
  w.counted_ = false;
  tokens_ahead_ -= w.count;
  --waiting_count_;
}

bool limiter_core::free_of_calls(limiter_waiter& w) noexcept {
  if (keeper_ == &w) keeper_ = nullptr;
  if (w.called_ && w.call_off()) w.called_ = false;
  return !w.called_;
}

// As if everybody had been served when it was his turn: who is woken late takes no time from those behind him.
void limiter_core::serve(time_point now, intrusive_list<waiter>& woken) noexcept {
  while (waiter* first = waiting_.hold_first()) {
    auto& w = static_cast<limiter_waiter&>(*first);
    if (w.count > most_at_once()) {
      refuse(w, limiter_waiter::ending::too_many);
    } else {
      const time_point due = when(played_, w.count);
      if (due > now) {
        waiter_queue::put_back(w);
        keep_time(due);
        return;
      }
      played_ = due;
      take(due, w.count);
      grant(w, due);
    }
    waiting_.take_held(w);
    count_out(w);
    if (!free_of_calls(w)) {
      w.fate_ = limiter_waiter::fate::woken;
    } else if (w.active()) {
      woken.push_back(w);
    }
  }
  played_ = now;
  if (keeper_) free_of_calls(*keeper_);
}

void limiter_core::keep_time(time_point due) noexcept {
  auto* first = static_cast<limiter_waiter*>(waiting_.first_live(
      nullptr, [](const waiter& w) noexcept { return static_cast<const limiter_waiter&>(w).active(); }));
  if (keeper_ && keeper_ != first) free_of_calls(*keeper_);
  if (!first) return;
  keeper_ = first;
  if (first->called_) {
    if (first->call_due_ == due) return;
    // A call that is on its way sets the time again.
    if (!first->call_off()) return;
  }
  first->called_ = true;
  first->call_due_ = due;
  first->call_at(due);
}

void limiter_core::time_has_come(limiter_waiter& w, bool by_timer) noexcept {
  bool stopped = false;
  {
    locked_section inside(lock_);
    if (!w.call_arrives(by_timer)) return;
    w.called_ = false;
    stopped = w.fate_ == limiter_waiter::fate::stopped;
    if (w.fate_ == limiter_waiter::fate::woken) inside.woken.push_back(w);
    if (w.fate_ == limiter_waiter::fate::open) {
      if (keeper_ == &w) keeper_ = nullptr;
      serve(clock::now(), inside.woken);
    }
  }
  if (stopped) w.wake_stopped();
}

time_point limiter_core::reserve(limiter_waiter& w) {
  const section inside(*this);
  if (end_at_once(w)) {
    require(w);
    return played_;
  }
  const time_point due = when_behind_all(played_, w.count);
  waiting_.push(w);
  count_in(w);
  return due;
}

bool limiter_core::cancel_reservation(limiter_waiter& w) noexcept {
  section inside(*this);
  if (!waiting_.take_out(w)) return false;
  count_out(w);
  inside.serve_again();
  return true;
}

void limiter_core::move_reservation(limiter_waiter& from, limiter_waiter& to) noexcept {
  const std::lock_guard guard(lock_);
  waiter_queue::replace(from, to);
  to.counted_ = std::exchange(from.counted_, false);
}

void limiter_core::give_back(time_point taken, std::uint64_t n) noexcept {
  locked_section inside(lock_);
  put_back(taken, n);
  granted_ -= n;
  serve(clock::now(), inside.woken);
}

limiter_counters limiter_core::counters() noexcept {
  const section inside(*this);
  return {.granted = granted_, .waits = waits_, .refused = refused_, .waiting = waiting_count_};
}

std::uint64_t limiter_core::available() noexcept {
  const section inside(*this);
  return waiting_.has_live(nullptr) ? 0 : available_at(played_);
}

std::uint64_t limiter_core::most() noexcept {
  const std::lock_guard guard(lock_);
  return most_at_once();
}

bool limiter_core::at_rest() noexcept {
  const std::lock_guard guard(lock_);
  return waiting_count_ == 0 && at_rest_at(clock::now());
}

// ---- limiter_acquire_operation

std::coroutine_handle<> limiter_acquire_operation::start(const await_context& context) noexcept {
  runtime_ = context.env->runtime;
  deadline = context.env->deadline;
  return wait_for(context, [this] { return object().enter(*this); });
}

result<void> limiter_acquire_operation::resume_result() noexcept {
  finish();
  if (how == ending::granted) return result<void>(std::in_place);
  return capture<void>([this] { value(); });
}

bool limiter_acquire_operation::arm_case(case_link link) noexcept {
  runtime_ = current_environment()->runtime;
  return object().arm(*this, link);
}

// A timer on a wheel of the task's runtime, which lives as long as the task. The wheel of a single worker knows no
// other thread: from those a message goes there, in place of arming the timer, and also to get rid of it.
void limiter_acquire_operation::call_at(time_point due) noexcept {
  if (on_worker_of(*runtime_)) {
    armed_ = true;
    arm_timer(*this, due);
  } else {
    posted_ = true;
    post(first_worker(*runtime_), *this);
  }
}

bool limiter_acquire_operation::call_off() noexcept {
  if (posted_) return false;
  if (is_shared(*runtime_) || on_worker_of(*runtime_)) return cancel_timer(*this) == timer_cancel::removed;
  posted_ = true;
  post(first_worker(*runtime_), *this);
  return false;
}

void limiter_acquire_operation::fire() noexcept {
  settle();
  object().time_has_come(*this, true);
}

void limiter_acquire_operation::deliver() noexcept { object().time_has_come(*this); }

bool limiter_acquire_operation::call_arrives(bool by_timer) noexcept {
  if (by_timer) return !posted_;
  posted_ = false;
  if (armed_ && !is_shared(*runtime_)) cancel_timer(*this);
  return true;
}

}  // namespace detail

// ---- limiter_reservation

limiter_reservation::limiter_reservation(limiter_reservation&& other) noexcept
    : limiter_waiter(other), owner_(other.owner_), when_(other.when_) {
  if (owner_) owner_->move_reservation(other, *this);
  other.owner_ = nullptr;
}

limiter_reservation& limiter_reservation::operator=(limiter_reservation&& other) noexcept {
  if (this == &other) return *this;
  cancel();
  limiter_waiter::count = other.count();
  when_ = other.when_;
  owner_ = std::exchange(other.owner_, nullptr);
  if (owner_) owner_->move_reservation(other, *this);
  return *this;
}

bool limiter_reservation::cancel() noexcept {
  detail::limiter_core* const owner = std::exchange(owner_, nullptr);
  return owner && owner->cancel_reservation(*this);
}

// ---- limiter

void limiter::acquire_blocking(std::uint64_t n) {
  detail::limiter_thread self(n);
  if (!try_enter(self)) {
    if (detail::current_worker()) {
      throw std::logic_error(
          "weir: limiter::acquire_blocking would block a worker of a runtime, and all its tasks: co_await acquire() "
          "instead");
    }
    if (enter(self) == detail::admission::queued) self.wait(*this);
  }
  require(self);
}

}  // namespace weir
