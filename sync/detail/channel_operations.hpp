#pragma once

#include <coroutine>
#include <optional>
#include <utility>

#include "../../runtime/detail/operation.hpp"
#include "channel_core.hpp"
#include "waiter.hpp"

namespace weir {

template <class T>
class send_permit;

namespace detail {

/// What send, reserve and receive have in common. `Derived` has `value_type value()`, `bool attempt(const void* here)
/// noexcept`
/// (`here` as for domain::check()), `core()` and `queue()`.
template <class Derived, class Side, class Value>
class [[nodiscard]] channel_operation : public operation_base, public basic_waiting_leaf<Side> {
 public:
  using value_type = Value;

  bool ready(const await_context& context) noexcept {
    return this->may_complete_now(context) && self().attempt(context.env->runtime);
  }
  std::coroutine_handle<> start(const await_context& context) noexcept {
    return this->wait_for(context, [this, &context] { return self().core().enter(side(), context.env->runtime); });
  }
  Value resume() {
    this->finish();
    return taken();
  }
  result<Value> resume_result() noexcept {
    this->finish();
    return capture<Value>([this]() -> Value { return taken(); });
  }

  // The selectable protocol.
  bool try_commit() noexcept { return self().attempt(confined_domain()); }
  bool arm_case(case_link link) noexcept { return self().core().arm(side(), link); }
  void withdraw_case() noexcept { self().withdraw(); }
  [[nodiscard]] const void* case_object() const noexcept { return &static_cast<const Derived&>(*this).core(); }

 protected:
  using basic_waiting_leaf<Side>::basic_waiting_leaf;

  Side& side() noexcept { return *this; }

 private:
  Derived& self() noexcept { return static_cast<Derived&>(*this); }
  Value taken() {
    rethrow_if_any(this->error);
    return self().value();
  }
  void request_stop(cancellation_cause) noexcept override { this->withdraw_from(self().queue(), self().core().lock()); }
};

/// `Core` is what is sent to: it has `send_name`, `senders()`, `lock()`, `try_send()`, `enter()`, `arm()` and
/// `withdraw_sender()` as a channel_core has them.
template <class Derived, class T, class Value, class Core = channel_core<T>>
class channel_sending : public channel_operation<Derived, channel_sender<T>, Value> {
  using base = channel_operation<Derived, channel_sender<T>, Value>;

 public:
  Core& core() const noexcept { return core_; }
  waiter_queue& queue() const noexcept { return core_.senders(); }
  bool attempt(const void* here) noexcept { return core_.try_send(this->side(), here); }
  void withdraw() noexcept { core_.withdraw_sender(*this); }

 protected:
  channel_sending(Core& to, T* value) noexcept : base(value), core_(to) {}

  Core& core_;
};

/// Refers to its item until it commits.
template <class T, class Core = channel_core<T>>
class [[nodiscard]] channel_send_operation final
    : public channel_sending<channel_send_operation<T, Core>, T, bool, Core> {
 public:
  channel_send_operation(Core& to, T& value) noexcept
      : channel_sending<channel_send_operation<T, Core>, T, bool, Core>(to, std::addressof(value)) {}
  [[nodiscard]] const char* name() const noexcept override { return Core::send_name; }
  bool value() const noexcept { return this->ended_as == channel_sender<T>::outcome::sent; }
};

/// Sends a copy that was made beforehand.
template <class T, class Core = channel_core<T>>
class [[nodiscard]] channel_send_copy_operation final
    : public channel_sending<channel_send_copy_operation<T, Core>, T, bool, Core> {
  using base = channel_sending<channel_send_copy_operation<T, Core>, T, bool, Core>;

 public:
  channel_send_copy_operation(Core& to, const T& value) : base(to, nullptr), copy_(value) { refer(); }
  channel_send_copy_operation(channel_send_copy_operation&& other) noexcept(std::is_nothrow_move_constructible_v<T>)
      : base(other.core_, nullptr), copy_(std::move(other.copy_)) {
    refer();
  }
  ~channel_send_copy_operation() = default;
  [[nodiscard]] const char* name() const noexcept override { return Core::send_name; }
  bool value() const noexcept { return this->ended_as == channel_sender<T>::outcome::sent; }

 private:
  void refer() noexcept { this->item = std::addressof(copy_); }
  T copy_;
};

template <class T>
class [[nodiscard]] channel_reserve_operation final
    : public channel_sending<channel_reserve_operation<T>, T, send_permit<T>> {
 public:
  explicit channel_reserve_operation(channel_core<T>& channel) noexcept
      : channel_sending<channel_reserve_operation<T>, T, send_permit<T>>(channel, nullptr) {}
  [[nodiscard]] const char* name() const noexcept override { return "channel::reserve"; }
  send_permit<T> value();
};

template <class T>
class [[nodiscard]] channel_receive_operation final
    : public channel_operation<channel_receive_operation<T>, channel_receiver<T>, std::optional<T>> {
 public:
  explicit channel_receive_operation(channel_core<T>& channel) noexcept : core_(channel) {}
  [[nodiscard]] const char* name() const noexcept override { return "channel::receive"; }

  channel_core<T>& core() const noexcept { return core_; }
  waiter_queue& queue() const noexcept { return core_.receivers(); }
  bool attempt(const void* here) noexcept { return core_.try_receive(this->side(), here); }
  void withdraw() noexcept { core_.withdraw_receiver(*this); }
  std::optional<T> value() { return std::move(this->item); }

 private:
  channel_core<T>& core_;
};

}  // namespace detail
}  // namespace weir
