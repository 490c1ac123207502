#include "waiter.hpp"

#include <utility>

namespace weir::detail {

waiter* waiter_queue::first_live(const selection* besides, condition wanted) noexcept {
  waiter* w = waiting_.first();
  while (w) {
    waiter* const next = waiting_.after(*w);
    const selection* const in = w->in_select.in;
    if (in && in->is_decided()) {
      take_out(*w);  // it is dead, or about to ask again
    } else if ((!in || in != besides) && (!wanted || wanted(*w))) {
      return w;
    }
    w = next;
  }
  return nullptr;
}

waiter* waiter_queue::take_first(condition wanted) noexcept {
  waiter* w = waiting_.first();
  while (w) {
    waiter* const next = waiting_.after(*w);
    if (wanted(*w)) {
      take_out(*w);
      if (w->in_select.claim()) return w;
    }
    w = next;
  }
  return nullptr;
}

void waiter_queue::replace(waiter& w, waiter& by) noexcept {
  by.queued_ = std::exchange(w.queued_, false);
  if (by.queued_) by.list_hook::replace(w);
}

waiter* waiter_queue::hold_first() noexcept {
  while (!waiting_.empty()) {
    waiter& w = waiting_.front();
    if (!w.in_select || w.in_select.in->hold(w.in_select.index)) return &w;
    take_out(w);
  }
  return nullptr;
}

void waiter_queue::take_held(waiter& held) noexcept {
  if (held.in_select) held.in_select.in->confirm();
  take_out(held);
}

void waiter_queue::put_back(const waiter& held) noexcept {
  if (held.in_select) held.in_select.in->drop();
}

bool returns_to(const promise_base& task, const void* frame) noexcept {
  for (const promise_base* at = &task; at; at = at->scope ? at->scope->frame : at->awaiter) {
    if (at == frame) return true;
  }
  return false;
}

}  // namespace weir::detail
