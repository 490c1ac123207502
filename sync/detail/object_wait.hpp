#pragma once

#include <coroutine>
#include <utility>

#include "../../runtime/detail/operation.hpp"
#include "waiter.hpp"

namespace weir::detail {

/// Waiting for an object of sync/ that keeps its own rules, with what all such operations have in common. `Side` is the
/// waiter with what it asks for; `Derived` has `object()`, and `value()`, which is called once, when it has it.
///
/// The object has, all noexcept and thread-safe:
///
///   bool try_enter(Side&)           has it at once: true. Otherwise nothing has happened.
///   admission enter(Side&)          the same, or queues it; refuses one that is withdrawn()
///   bool withdraw(Side&)            for its cancellation; false: it has been claimed, or will be refused. Whoever was
///                                   held up only by it goes on.
template <class Derived, class Side, class Value>
class [[nodiscard]] object_wait : public operation_base, public basic_waiting_leaf<Side> {
 public:
  using value_type = Value;

  bool ready(const await_context& context) noexcept {
    return this->may_complete_now(context) && self().object().try_enter(side());
  }
  std::coroutine_handle<> start(const await_context& context) noexcept {
    return this->wait_for(context, [this] { return self().object().enter(side()); });
  }
  Value resume() {
    this->finish();
    return self().value();
  }
  result<Value> resume_result() noexcept {
    this->finish();
    return capture<Value>([this]() -> Value { return self().value(); });
  }

 protected:
  using basic_waiting_leaf<Side>::basic_waiting_leaf;
  object_wait() = default;
  object_wait(const object_wait&) = default;
  ~object_wait() = default;

  Side& side() noexcept { return *this; }
  Derived& self() noexcept { return static_cast<Derived&>(*this); }

 private:
  void request_stop(cancellation_cause) noexcept override {
    if (self().object().withdraw(side())) this->complete_stopped();
  }
};

/// One that may be a case of a select. The object has also:
///
///   bool arm(Side&, case_link)      queues it as a case; false when it need not wait, and then nothing has happened
///   void take_out(Side&)            ends that, whether it was decided or not
template <class Derived, class Side, class Value>
class [[nodiscard]] selectable_object_wait : public object_wait<Derived, Side, Value> {
 public:
  bool try_commit() noexcept { return this->self().object().try_enter(this->side()); }
  bool arm_case(case_link link) noexcept { return this->self().object().arm(this->side(), link); }
  void withdraw_case() noexcept { this->self().object().take_out(this->side()); }
  [[nodiscard]] const void* case_object() const noexcept { return &static_cast<const Derived&>(*this).object(); }

 protected:
  using object_wait<Derived, Side, Value>::object_wait;
  selectable_object_wait() = default;
  selectable_object_wait(const selectable_object_wait&) = default;
  ~selectable_object_wait() = default;
};

/// The lock of an object, held, and those who were claimed meanwhile: they are woken once it is free, when the object
/// may be gone already.
class locked_section {
 public:
  explicit locked_section(domain_lock& lock) noexcept : lock_(lock) { lock_.lock(); }
  locked_section(const locked_section&) = delete;
  locked_section& operator=(const locked_section&) = delete;
  /// One who was let through alone runs next; a crowd in its turn, in the order in which it came.
  ~locked_section() {
    lock_.unlock();
    if (woken.empty()) return;
    waiter& first = woken.pop_front();
    if (woken.empty()) {
      first.wake_next();
      return;
    }
    first.wake();
    while (!woken.empty()) woken.pop_front().wake();
  }

  intrusive_list<waiter> woken;

 private:
  domain_lock& lock_;
};

}  // namespace weir::detail
