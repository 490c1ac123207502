#pragma once

#include <utility>

#include "../../runtime/runtime.hpp"
#include "waiter.hpp"

namespace weir::detail {

/// An address that no other thread has.
const void* this_thread() noexcept;

/// What a blocked thread waits with. On a worker, whose tasks would all wait with it, making one throws
/// std::logic_error with `sentence`.
class thread_latch {
 public:
  explicit thread_latch(const char* sentence);
  void set() noexcept { latch_.set(); }
  void wait() noexcept;

 private:
  main_latch latch_;
};

/// A thread outside of every runtime that waits in a queue, among tasks. Lives on that thread's stack. `Waiter` is
/// waiter or derived from it.
template <class Waiter>
class basic_waiting_thread final : public Waiter {
 public:
  template <class... Args>
  explicit basic_waiting_thread(const char* sentence, Args&&... args)
      : Waiter(std::forward<Args>(args)...), latch_(sentence) {}
  ~basic_waiting_thread() = default;

  void wait() noexcept { latch_.wait(); }

 private:
  void wake() noexcept override { latch_.set(); }
  thread_latch latch_;
};

using waiting_thread = basic_waiting_thread<waiter>;

}  // namespace weir::detail
