#pragma once

#include "intrusive_list.hpp"

namespace weir::detail {

/// An intrusive_list that is one pointer in size. In exchange an item leaves through the list that it is in: the hook's
/// own unlink() is not for it.
template <class T>
class intrusive_ring {
 public:
  intrusive_ring() = default;
  intrusive_ring(const intrusive_ring&) = delete;
  intrusive_ring& operator=(const intrusive_ring&) = delete;

  [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }
  T* first() noexcept { return static_cast<T*>(first_); }
  /// The item behind `item`, or null at the end.
  T* after(T& item) noexcept {
    list_hook* next = static_cast<list_hook&>(item).next;
    return next == first_ ? nullptr : static_cast<T*>(next);
  }
  void push_back(T& item) noexcept {
    list_hook& hook = item;
    if (first_) {
      hook.next = first_;
      hook.previous = first_->previous;
      hook.previous->next = first_->previous = &hook;
    } else {
      first_ = hook.next = hook.previous = &hook;
    }
  }
  T& pop_front() noexcept {
    T& item = *first();
    remove(item);
    return item;
  }
  void remove(T& item) noexcept {
    list_hook& hook = item;
    if (first_ == &hook) first_ = hook.next == &hook ? nullptr : hook.next;
    hook.unlink();
  }

 private:
  list_hook* first_ = nullptr;
};

}  // namespace weir::detail
