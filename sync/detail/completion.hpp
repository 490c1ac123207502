#pragma once

#include "../../runtime/detail/config.hpp"
#include "object_wait.hpp"
#include "state_lock.hpp"
#include "waiter.hpp"

namespace weir::detail {

class completion_wait_operation;

/// Something that happens once, part of an object that two share: who makes it happen, and who may wait for it. No
/// count is needed to tell which of them is the last: it is in the same word. happen() and let_go() each take one
/// locked instruction where nobody waits, and none on a confined worker.
class completion {
 public:
  completion() = default;
  completion(const completion&) = delete;
  completion& operator=(const completion&) = delete;
  ~completion() { WEIR_DETAIL_ASSERT(waiting_.empty(), "a completion was destroyed while somebody waits for it"); }

  /// What was done before happen() is seen by who sees this.
  [[nodiscard]] bool happened() const noexcept { return (lock_.peek() & done) != 0; }

  /// By who makes it happen, once. True: the other one has let go, and the caller has the object alone. False: from now
  /// on it is the other one's, and may be gone.
  bool happen() noexcept {
    if (lock_.change_if(0, done)) return false;
    if (lock_.change_if(gone, gone | done)) return true;
    return happen_slow();
  }
  /// By who may wait, once, when he does not. True: it has happened, and the caller has the object alone.
  bool let_go() noexcept {
    if (lock_.change_if(0, gone)) return false;
    if (lock_.change_if(done, done | gone)) return true;
    const state now = lock_.lock();
    lock_.unlock(now | gone);
    return (now & done) != 0;
  }

  // What object_wait wants.
  bool try_enter(const waiter&) const noexcept { return happened(); }
  admission enter(waiter& w) noexcept;
  bool withdraw(waiter& w) noexcept;
  bool arm(waiter& w, case_link link) noexcept;
  void take_out(waiter& w) noexcept;

 private:
  using state = state_lock::state;
  static constexpr state done = 1;
  static constexpr state gone = 2;
  static constexpr state awaited = 4;  // maybe; without it nobody waits

  bool happen_slow() noexcept;

  state_lock lock_;
  waiter_queue waiting_;
};

class [[nodiscard]] completion_wait_operation final
    : public selectable_object_wait<completion_wait_operation, waiter, void> {
 public:
  completion_wait_operation(completion& of, const char* name) noexcept : of_(of), name_(name) {}
  completion_wait_operation(const completion_wait_operation&) = default;
  ~completion_wait_operation() = default;

  [[nodiscard]] completion& object() const noexcept { return of_; }
  void value() const noexcept {}
  [[nodiscard]] const char* name() const noexcept override { return name_; }

 private:
  completion& of_;
  const char* name_;
};

}  // namespace weir::detail
