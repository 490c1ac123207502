#include "group_core.hpp"

#include <utility>

#include "local_value.hpp"
#include "worker.hpp"

namespace weir::detail {

// ---- how children come in: before those who call it, to be inlined

namespace {

void count_in(child_list& in, strand& child) noexcept {
  in.children.push_back(child);
  in.live.store(in.live.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

/// Returns how many are left.
std::size_t count_out(child_list& in) noexcept {
  const std::size_t left = in.live.load(std::memory_order_relaxed) - 1;
  in.live.store(left, std::memory_order_release);
  return left;
}

}  // namespace

[[gnu::always_inline]] inline void group_core::adopt(strand& child) noexcept {
  if (shared_ || state_.requested()) {
    adopt_with_care(child);
  } else {
    count_in(own_, child);
  }
}

void group_core::adopt_with_care(strand& child) noexcept {
  optional_guard guard(child.in_->lock, shared_);
  count_in(*child.in_, child);
  if (!state_.requested()) return;
  // tell_children may have gone past already, or may find it still: told_ decides under the lock.
  if (child.told_.load(std::memory_order_relaxed)) return;
  child.told_.store(true, std::memory_order_relaxed);
  guard.unlock();
  child.state_.request(state_.cause());
}

// ---- strand

std::coroutine_handle<> strand::child_finished() noexcept {
  child_list& in = *in_;
  const std::exception_ptr* const exception = harvest();
  if (env_.locals) drop_locals();
  worker& here = *this_worker;
  here.counted.ended.add();
  if (here.hooks()) here.tell_ended(*this, exception ? task_end::threw : task_end::returned);
  promise_base* const waiting = in.group.remove(*this, in, exception, false);
  if (!waiting) return std::noop_coroutine();
  if (here.hooks()) here.tell_continued(*waiting);
  return waiting->handle();
}

void strand::drop_locals() noexcept { local_value::release(std::exchange(env_.locals, nullptr)); }

boundary::verdict strand::stopped() noexcept {
  child_list& in = *in_;
  harvest_stopped();
  if (env_.locals) drop_locals();
  worker& here = *this_worker;
  here.counted.stopped.add();
  if (here.hooks()) here.tell_ended(*this, task_end::stopped);
  if (promise_base* waiting = in.group.remove(*this, in, nullptr, true)) schedule_next(*waiting);
  return verdict::pending;
}

void strand::deliver() noexcept {
  const std::uint8_t what = outside_.fetch_and(request, std::memory_order_acq_rel);
  if ((what & arrival) != 0) {
    group_core& group = in_->group;
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
    visitor.body_elsewhere(suspended_around());
  }
  // No task runs, but threads outside of the runtime may spawn.
  const auto show = [&](const child_list& in) {
    const optional_guard guard(in.lock, shared_);
    for (const strand* child = in.children.first(); child; child = in.children.after(*child)) visitor.child(*child);
  };
  show(own_);
  for (const part& each : parts_) show(each.list);
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

[[gnu::always_inline]] inline void group_core::prepare(strand& child, promise_base& root, const worker* here) noexcept {
  child.in_ = &own_;
  root.env = &child.env_;
  root.scope = &child;
  child.env_.runtime = env_.runtime;
  child.env_.stop = &child.state_;
  child.env_.deadline = env_.deadline;
  // The spawner's, which is the task that runs on this thread, if one does.
  if (here && here->env && here->env->locals) child.env_.locals = local_value::retain(here->env->locals);
  child.state_.set_shared(shared_);
}

void group_core::add(strand& child, promise_base& root, unsigned on) noexcept {
  worker* const here = this_worker;
  runtime_core& runtime = *env_.runtime;
  prepare(child, root, here);
  if (!here || &here->core() != &runtime) {
    add_from_outside(child, root, on);
    return;
  }
  here->counted.spawned.add();
  if (here->hooks()) runtime.tell_spawned(root);
  if (!parts_.empty()) child.in_ = &parts_[here->index()].list;
  adopt(child);
  if (on == any_worker) {
    here->make_ready_spawned(root);
  } else {
    schedule_on(root, on);
  }
}

void group_core::add_from_outside(strand& child, promise_base& root, unsigned on) noexcept {
  runtime_core& runtime = *env_.runtime;
  runtime.note_spawned_outside(root);
  if (!shared_) {
    arriving_.fetch_add(1, std::memory_order_acq_rel);
    child.outside_.store(strand::arrival, std::memory_order_relaxed);
    post(first_worker(runtime), child);
    return;
  }
  adopt(child);
  if (on == any_worker) {
    runtime.inject(root);
  } else {
    schedule_on(root, on);
  }
}

std::coroutine_handle<> group_core::add_running(strand& child, promise_base& root) noexcept {
  worker& here = *this_worker;
  prepare(child, root, &here);
  adopt(child);
  here.counted.spawned.add();
  if (here.hooks()) here.tell_begun(child);
  here.env = &child.env_;
  return root.handle();
}

void group_core::tell_children(cancellation_cause cause) noexcept {
  tell_children(own_, cause);
  for (part& each : parts_) tell_children(each.list, cause);
}

void group_core::tell_children(child_list& in, cancellation_cause cause) noexcept {
  optional_guard guard(in.lock, shared_);
  for (strand* child = in.children.first(); child; child = in.children.after(*child)) {
    if (child->told_.load(std::memory_order_relaxed)) continue;
    child->told_.store(true, std::memory_order_relaxed);
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

[[gnu::always_inline]] inline promise_base* group_core::drained_now(optional_guard<spin_lock>& guard) noexcept {
  if (!notify_.load(std::memory_order_relaxed) || live_now() != 0 || arriving_.load(std::memory_order_acquire) != 0) {
    return nullptr;
  }
  forget_notification();
  return drained(guard);
}

void group_core::stop_arriving() noexcept {
  optional_guard guard(lock_, shared_);
  arriving_.fetch_sub(1, std::memory_order_acq_rel);
  if (promise_base* next = drained_now(guard)) schedule(*next);
}

bool group_core::note_failure(const std::exception_ptr& exception) noexcept {
  failures_.store(failures_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  if (policy_ != on_failure::cancel_all || failure_) return false;
  failure_ = exception;
  return true;
}

void group_core::note_outcome(strand& child, const std::exception_ptr* exception, bool stopped) noexcept {
  optional_guard guard(lock_, shared_);
  const bool decides = policy_ == on_failure::first_decides && child_ended(child, stopped);
  // What has stopped it came after it was told.
  if (stopped && child.told_.load(std::memory_order_relaxed)) cut_short_ = true;
  if (exception) child.failure_kept_ = note_failure(*exception) || decides;
  if (!decides && !child.failure_kept_) return;
  guard.unlock();
  state_.request(cancellation_cause::requested);
}

void group_core::unlink_shared(strand& child, child_list& in) noexcept {
  optional_guard guard(in.lock, true);
  backoff wait;
  while (child.busy_.load(std::memory_order_acquire)) {
    guard.unlock();
    wait.pause();
    guard.relock();
  }
  child.list_hook::unlink();
}

promise_base* group_core::remove(strand& child, child_list& in, const std::exception_ptr* exception,
                                 bool stopped) noexcept {
  // A child that has just returned is nobody's concern but the list's.
  if (exception || stopped || policy_ == on_failure::first_decides) note_outcome(child, exception, stopped);
  if (shared_) {
    unlink_shared(child, in);
  } else {
    child.list_hook::unlink();
  }
  child.release();
  // The child is gone but still counted, so the group is still here.
  if (!shared_ && !notify_.load(std::memory_order_relaxed)) {
    count_out(in);
    return nullptr;
  }
  if (!parts_.empty()) return count_out_of_part(in);
  optional_guard guard(lock_, shared_);
  count_out(in);
  return drained_now(guard);
}

// The last child to leave a part looks whether it was the last of all. Whoever waits for that has said so before it
// counted: either it has seen this child, or this child sees that it waits.
promise_base* group_core::count_out_of_part(child_list& in) noexcept {
  {
    const optional_guard guard(in.lock, true);
    if (count_out(in) != 0) return nullptr;
  }
  if (!notify_.load(std::memory_order_relaxed)) return nullptr;
  optional_guard guard(lock_, true);
  return drained_now(guard);
}

// A child may add another to a part that has been counted, and end before its own is: so nothing may be added
// meanwhile. Parts are locked in their order, and after the group's own lock.
std::size_t group_core::live_now() const noexcept {
  std::size_t live = own_.live.load(std::memory_order_relaxed);
  for (part& each : parts_) {
    each.lock.lock();
    live += each.list.live.load(std::memory_order_relaxed);
  }
  for (part& each : parts_) each.lock.unlock();
  return live;
}

std::size_t group_core::live_in_parts() const noexcept {
  const optional_guard guard(lock_, true);
  return live_now();
}

bool group_core::keep_failure(const std::exception_ptr& exception) noexcept {
  optional_guard guard(lock_, shared_);
  return note_failure(exception);
}

bool group_core::drained_or_notify() noexcept {
  optional_guard guard(lock_, shared_);
  return drained_or_notify_locked();
}

bool group_core::drained_or_notify_locked() noexcept {
  // Said before it is counted: see count_out_of_part.
  notify_.store(true, std::memory_order_relaxed);
  if (live_now() != 0 || arriving_.load(std::memory_order_acquire) != 0) return false;
  forget_notification();
  return true;
}

}  // namespace weir::detail
