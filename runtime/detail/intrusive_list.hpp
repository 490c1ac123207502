#pragma once

#include "take.hpp"

namespace weir::detail {

/// Links of an object that can stand in one intrusive_list at a time.
struct list_hook {
  list_hook* previous = nullptr;
  list_hook* next = nullptr;

  list_hook() = default;
  // A hook's place in a list is not part of the value of the object that holds it.
  list_hook(const list_hook&) noexcept {}
  list_hook& operator=(const list_hook&) noexcept { return *this; }

  [[nodiscard]] bool linked() const noexcept { return next != nullptr; }
  void unlink() noexcept {
    previous->next = next;
    next->previous = previous;
    previous = next = nullptr;
  }
  /// Takes the place of `other`, which is linked.
  void replace(list_hook& other) noexcept {
    previous = detail::take(other.previous);
    next = detail::take(other.next);
    previous->next = this;
    next->previous = this;
  }
};

/// A doubly linked list of objects derived from list_hook; it owns nothing and allocates nothing. All O(1).
template <class T>
class intrusive_list {
 public:
  intrusive_list() noexcept { clear(); }
  intrusive_list(const intrusive_list&) = delete;
  intrusive_list& operator=(const intrusive_list&) = delete;

  [[nodiscard]] bool empty() const noexcept { return head_.next == &head_; }
  T& front() noexcept { return static_cast<T&>(*head_.next); }
  T& back() noexcept { return static_cast<T&>(*head_.previous); }
  void push_back(T& item) noexcept { insert_before(head_, item); }
  void push_front(T& item) noexcept { insert_before(*head_.next, item); }
  T& pop_front() noexcept {
    T& item = front();
    item.list_hook::unlink();
    return item;
  }
  /// The item behind `item`, or null at the end.
  T* after(T& item) noexcept {
    list_hook* next = static_cast<list_hook&>(item).next;
    return next == &head_ ? nullptr : static_cast<T*>(next);
  }
  T* first() noexcept { return empty() ? nullptr : &front(); }
  const T* after(const T& item) const noexcept {
    const list_hook* next = static_cast<const list_hook&>(item).next;
    return next == &head_ ? nullptr : static_cast<const T*>(next);
  }
  const T* first() const noexcept { return empty() ? nullptr : static_cast<const T*>(head_.next); }
  /// Appends all of `other`, which is empty afterwards.
  void splice_back(intrusive_list& other) noexcept {
    if (other.empty()) return;
    list_hook* first = other.head_.next;
    list_hook* last = other.head_.previous;
    first->previous = head_.previous;
    head_.previous->next = first;
    last->next = &head_;
    head_.previous = last;
    other.clear();
  }

 private:
  void clear() noexcept { head_.next = head_.previous = &head_; }
  static void insert_before(list_hook& place, list_hook& item) noexcept {
    item.previous = place.previous;
    item.next = &place;
    place.previous->next = &item;
    place.previous = &item;
  }
  list_hook head_;
};

}  // namespace weir::detail
