#include "group_core.hpp"

#include <utility>

#include "local_value.hpp"
#include "worker.hpp"

namespace weir::detail {

// ---- strand

std::coroutine_handle<> strand::child_finished() noexcept {
  group_core& group = *group_;
  std::exception_ptr exception = harvest();
  if (env_.locals) drop_locals();
  worker& here = *this_worker;
  here.counted.ended.add();
  if (here.hooks()) here.tell_ended(*this, exception ? task_end::threw : task_end::returned);
  promise_base* waiting = group.remove(*this, std::move(exception), false);
  if (waiting && here.hooks()) here.tell_continued(*waiting);
  return waiting ? waiting->handle() : std::noop_coroutine();
}

void strand::inherit_locals() noexcept {
  const worker* const here = this_worker;
  env_.locals = here && here->env ? local_value::retain(here->env->locals) : nullptr;
}

void strand::drop_locals() noexcept { local_value::release(std::exchange(env_.locals, nullptr)); }

boundary::verdict strand::stopped() noexcept {
  group_core& group = *group_;
  harvest_stopped();
  if (env_.locals) drop_locals();
  worker& here = *this_worker;
  here.counted.stopped.add();
  if (here.hooks()) here.tell_ended(*this, task_end::stopped);
  if (promise_base* waiting = group.remove(*this, nullptr, true)) schedule_next(*waiting);
  return verdict::pending;
}

void strand::deliver() noexcept {
  const std::uint8_t what = outside_.fetch_and(request, std::memory_order_acq_rel);
  if ((what & arrival) != 0) {
    group_core& group = *group_;
    group.adopt(*this);
    group.arriving_.fetch_sub(1, std::memory_order_acq_rel);
    schedule_arrived(root());
  }
  if ((what & request) == 0) return;
  // Nobody is told when it has ended meanwhile.
  state_.request(cancellation_cause::requested);
  requested_outside();
}

void strand::request_outside() noexcept {
  // Nobody else posts it: the arrival brings the request along or has been delivered, and further requests end here.
  if (outside_.fetch_or(request, std::memory_order_acq_rel) != 0) return;
  post(first_worker(*env_.runtime), *this);
}

// ---- group_core

void group_core::visit(wait_visitor& visitor) const {
  if (const stoppable* body = state_.inner()) {
    body->visit(visitor);
  } else {
    visitor.body_elsewhere();
  }
  // No task runs, but threads outside of the runtime may spawn.
  const optional_guard guard(lock_, shared_);
  for (const strand* child = children_.first(); child; child = children_.after(*child)) visitor.child(*child);
}

void group_core::open(const environment& outer) noexcept {
  outer_env_ = outer;
  env_ = outer;
  env_.stop = &state_;
  shared_ = is_shared(*outer.runtime);
  state_.set_shared(shared_);
}

void group_core::enter() noexcept {
  entered_ = true;
  if (outer_env_.stop && !outer_env_.stop->arm(*this)) request_stop(outer_env_.stop->cause());
}

void group_core::leave() noexcept {
  if (!std::exchange(entered_, false)) return;
  if (outer_env_.stop) outer_env_.stop->disarm(*this);
}

void group_core::prepare(strand& child, promise_base& root) noexcept {
  child.group_ = this;
  root.env = &child.env_;
  root.scope = &child;
  child.env_ = env_;
  child.env_.stop = &child.state_;
  child.inherit_locals();
  child.state_.set_shared(shared_);
}

void group_core::add(strand& child, promise_base& root, unsigned worker) noexcept {
  prepare(child, root);
  env_.runtime->note_spawned(root);
  if (!shared_ && !on_worker_of(*env_.runtime)) {
    arriving_.fetch_add(1, std::memory_order_acq_rel);
    child.outside_.store(strand::arrival, std::memory_order_relaxed);
    post(first_worker(*env_.runtime), child);
    return;
  }
  adopt(child);
  if (worker == any_worker) {
    schedule_spawned(root);
  } else {
    schedule_on(root, worker);
  }
}

std::coroutine_handle<> group_core::add_running(strand& child, promise_base& root) noexcept {
  prepare(child, root);
  adopt(child);
  worker& here = *this_worker;
  here.counted.spawned.add();
  if (here.hooks()) here.tell_begun(child);
  here.env = &child.env_;
  return root.handle();
}

void group_core::adopt(strand& child) noexcept {
  optional_guard guard(lock_, shared_);
  children_.push_back(child);
  live_.store(live_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  if (!state_.requested()) return;
  // tell_children may have gone past already, or may find it still: told_ decides under the lock.
  if (child.told_) return;
  child.told_ = true;
  guard.unlock();
  child.state_.request(state_.cause());
}

void group_core::tell_children(cancellation_cause cause) noexcept {
  optional_guard guard(lock_, shared_);
  for (strand* child = children_.first(); child; child = children_.after(*child)) {
    if (child->told_) continue;
    child->told_ = true;
    child->busy_.store(true, std::memory_order_relaxed);
    guard.unlock();
    child->state_.request(cause);
    guard.relock();
    child->busy_.store(false, std::memory_order_release);
  }
}

void group_core::cancel(cancellation_cause cause) noexcept {
  if (shared_ || on_worker_of(*env_.runtime)) {
    // What is told may end, and with it the group, before this thread is through with telling.
    arriving_.fetch_add(1, std::memory_order_relaxed);
    state_.request(cause);
    stop_arriving();
    return;
  }
  if (outside_posted_.exchange(true, std::memory_order_acq_rel)) return;
  outside_.cause = cause;
  arriving_.fetch_add(1, std::memory_order_acq_rel);
  post(first_worker(*env_.runtime), outside_);
}

void group_core::outside_cancel::deliver() noexcept {
  group_.state_.request(cause);
  group_.stop_arriving();
}

void group_core::stop_arriving() noexcept {
  optional_guard guard(lock_, shared_);
  arriving_.fetch_sub(1, std::memory_order_acq_rel);
  if (promise_base* next = drained_now(guard)) schedule(*next);
}

bool group_core::note_failure(std::exception_ptr exception) noexcept {
  failures_.store(failures_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  if (policy_ == on_failure::isolate) return false;
  if (failure_) return false;
  failure_ = std::move(exception);
  return true;
}

promise_base* group_core::remove(strand& child, std::exception_ptr exception, bool stopped) noexcept {
  {
    optional_guard guard(lock_, shared_);
    const bool decides = child_ended(child, stopped);
    if (stopped && child.told_) cut_short_ = true;
    if (exception) child.failure_kept_ = note_failure(std::move(exception)) || decides;
    if (decides || child.failure_kept_) {
      guard.unlock();
      state_.request(cancellation_cause::requested);
      guard.relock();
    }
    backoff wait;
    while (child.busy_.load(std::memory_order_acquire)) {
      guard.unlock();
      wait.pause();
      guard.relock();
    }
    child.list_hook::unlink();
  }
  child.release();
  // The child is gone but still counted, so the group is still here.
  optional_guard guard(lock_, shared_);
  live_.store(live_.load(std::memory_order_relaxed) - 1, std::memory_order_release);
  return drained_now(guard);
}

promise_base* group_core::drained_now(optional_guard<spin_lock>& guard) noexcept {
  if (!notify_ || live_.load(std::memory_order_relaxed) != 0 || arriving_.load(std::memory_order_acquire) != 0) {
    return nullptr;
  }
  notify_ = false;
  return drained(guard);
}

bool group_core::keep_failure(std::exception_ptr exception) noexcept {
  optional_guard guard(lock_, shared_);
  return note_failure(std::move(exception));
}

bool group_core::drained_or_notify() noexcept {
  optional_guard guard(lock_, shared_);
  return drained_or_notify_locked();
}

bool group_core::drained_or_notify_locked() noexcept {
  if (live_.load(std::memory_order_relaxed) == 0 && arriving_.load(std::memory_order_acquire) == 0) return true;
  notify_ = true;
  return false;
}

}  // namespace weir::detail
