#include "spawn.hpp"

#include <fmt/format.h>

#include <stdexcept>

#include "detail/worker.hpp"

namespace weir::detail {

spawned_base::~spawned_base() {
  if (exception_ && !observed_ && !failure_kept()) runtime_core::report_to(kept_on_error(), exception_);
}

void require_worker(const runtime_core& runtime, unsigned index) {
  const std::size_t count = runtime.worker_count();
  if (index < count) return;
  throw std::out_of_range(fmt::format("weir: spawn_on worker {}: this runtime has {}, counted from 0", index,
                                      count == 1 ? "1 worker" : fmt::format("{} workers", count)));
}

void spawned_base::drop_unfinished() noexcept {
  // The runtime's address is compared before anything is asked of it.
  const runtime_core& runtime = *env().runtime;
  leaf* found = nullptr;
  if (on_worker_of(runtime) && !is_shared(runtime)) {
    found = link_.load(std::memory_order_relaxed);
    link_.store(dropped(), std::memory_order_relaxed);
  } else {
    found = link_.exchange(dropped(), std::memory_order_acq_rel);
  }
  WEIR_DETAIL_ASSERT(!is_joiner(found), "a join_handle was dropped while a task joins it");
  if (found == finished()) free();
}

void spawned_base::free() noexcept {
  if (!outside_requested() || one_gone_.exchange(true, std::memory_order_acq_rel)) delete this;
}

void spawned_base::requested_outside() noexcept {
  if (one_gone_.exchange(true, std::memory_order_acq_rel)) delete this;
}

const std::exception_ptr* spawned_base::harvest() noexcept {
  take_outcome(link_.load(std::memory_order_relaxed) != dropped());
  if (!exception_) return nullptr;
  // The last handle may be dropped anywhere, when the runtime has gone.
  keep_on_error(env().runtime->options().on_error);
  return &exception_;
}

void spawned_base::harvest_stopped() noexcept {
  drop_call();
  stopped_because_ = state().cause();
  if (stopped_because_ == cancellation_cause::none) stopped_because_ = cancellation_cause::requested;
}

void spawned_base::release() noexcept {
  leaf* const found = link_.load(std::memory_order_acquire);
  if (found == dropped()) {
    free();
  } else if (joined_here_ && is_joiner(found) && !is_case(found)) {
    link_.store(finished(), std::memory_order_release);
    // From here on the record is the handle's.
    this_worker->make_ready_next(found->frame());
  } else {
    release_to(found);
  }
}

void spawned_base::release_to(leaf* found) noexcept {
  for (;;) {
    if (found == dropped()) {
      free();
      return;
    }
    if (is_case(found)) {
      if (!link_.compare_exchange_strong(found, telling(), std::memory_order_acq_rel)) continue;
      release_to_case(found);
      return;
    }
    if (link_.compare_exchange_strong(found, finished(), std::memory_order_acq_rel)) break;
  }
  // From here on the record is the handle's.
  if (is_joiner(found)) found->complete_next();
}

void spawned_base::release_to_case(leaf* found) noexcept {
  const case_link waiting = case_in(found);
  const bool chosen = waiting.claim();
  // Whoever takes the case back may go on, and the record is the handle's. A select that was claimed waits for more.
  link_.store(finished(), std::memory_order_release);
  if (chosen) waiting.in->fulfil(true);
}

bool spawned_base::wait_as_case(const case_link& waiting) noexcept {
  leaf* found = link_.load(std::memory_order_acquire);
  for (;;) {
    if (found == finished()) return false;
    if (found && found != withdrawn()) fatal("weir: two tasks join the same join_handle at once");
    if (link_.compare_exchange_weak(found, value_of(waiting), std::memory_order_acq_rel)) return true;
  }
}

void spawned_base::unwait_as_case(const case_link& waiting) noexcept {
  leaf* found = value_of(waiting);
  if (link_.compare_exchange_strong(found, nullptr, std::memory_order_acq_rel)) return;
  backoff pause;
  while (link_.load(std::memory_order_acquire) == telling()) pause.pause();
}

void spawned_base::cancel_from_handle() noexcept {
  if (done()) return;
  runtime_core& runtime = *env().runtime;
  if (is_shared(runtime) || on_worker_of(runtime)) {
    // The record outlives the call by the handle's reference, and what is told outlives it by itself.
    state().request(cancellation_cause::requested);
    return;
  }
  request_outside();
}

}  // namespace weir::detail
