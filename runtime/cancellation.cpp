#include "cancellation.hpp"

#include <thread>

namespace weir::detail {

struct cancellation_state::running_call {
  callback_node* node;
  std::thread::id thread;
  bool destroyed = false;  // the callback destroyed its own node: do not touch it any more
};

bool cancellation_state::request(cancellation_cause cause) noexcept {
  auto none = cancellation_cause::none;
  if (!cause_.compare_exchange_strong(none, cause, std::memory_order_acq_rel)) return false;
  propagate(cause);
  run_callbacks(cause);
  return true;
}

void cancellation_state::run_callbacks(cancellation_cause cause) noexcept {
  lock_.lock();
  while (!callbacks_.empty()) {
    running_call call{&callbacks_.pop_front(), std::this_thread::get_id()};
    running_ = &call;
    lock_.unlock();
    call.node->invoke(cause);
    lock_.lock();
    running_ = nullptr;
    if (!call.destroyed) call.node->finished_.store(true, std::memory_order_release);
  }
  lock_.unlock();
}

void cancellation_state::add(callback_node& node) noexcept {
  lock_.lock();
  const cancellation_cause already = cause();
  if (already == cancellation_cause::none) {
    callbacks_.push_back(node);
    lock_.unlock();
    return;
  }
  lock_.unlock();
  node.invoke(already);
  node.finished_.store(true, std::memory_order_release);
}

void cancellation_state::remove_unfinished(callback_node& node) noexcept {
  lock_.lock();
  if (node.linked()) {
    callbacks_.remove(node);
    lock_.unlock();
    return;
  }
  if (running_ && running_->node == &node && running_->thread == std::this_thread::get_id()) {
    running_->destroyed = true;
    lock_.unlock();
    return;
  }
  lock_.unlock();
  backoff wait;
  while (!node.finished_.load(std::memory_order_acquire)) wait.pause();
}

}  // namespace weir::detail
