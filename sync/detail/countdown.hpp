#pragma once

#include <cstddef>

#include "domain_lock.hpp"
#include "object_wait.hpp"
#include "waiter.hpp"

namespace weir::detail {

/// A number, and those who wait until it is zero: what latch and wait_group have in common.
class countdown {
 public:
  explicit countdown(std::size_t count) noexcept : count_(count) {}
  countdown(const countdown&) = delete;
  countdown& operator=(const countdown&) = delete;

  void add(std::size_t n) noexcept;
  /// Lets everybody through when that makes it zero.
  void subtract(std::size_t n) noexcept;
  [[nodiscard]] std::size_t left() noexcept;
  [[nodiscard]] bool is_zero() noexcept { return left() == 0; }
  void block(const char* sentence_on_a_worker);
  /// Without the lock: to be asked when nobody else is there any more.
  [[nodiscard]] bool deserted() const noexcept { return waiting_.empty(); }

  // Without arriving.
  bool try_enter(const waiter&) noexcept { return is_zero(); }
  admission enter(waiter& w) noexcept;
  bool withdraw(waiter& w) noexcept;
  bool arm(waiter& w, case_link link) noexcept;
  void take_out(waiter& w) noexcept;

  // Who comes counts one down, and up again if he does not wait any longer.
  bool try_arrive() noexcept;
  admission arrive(waiter& w) noexcept;
  bool withdraw_arrival(waiter& w) noexcept;

 protected:
  ~countdown() = default;

 private:
  void subtract_locked(std::size_t n, intrusive_list<waiter>& woken) noexcept;

  domain_lock lock_;
  std::size_t count_;
  waiter_queue waiting_;  // empty while the count is zero
};

class [[nodiscard]] countdown_wait_operation final
    : public selectable_object_wait<countdown_wait_operation, waiter, void> {
 public:
  countdown_wait_operation(countdown& target, const char* name) noexcept : target_(target), name_(name) {}
  countdown_wait_operation(const countdown_wait_operation&) = default;
  ~countdown_wait_operation() = default;

  [[nodiscard]] countdown& object() const noexcept { return target_; }
  void value() const noexcept {}
  [[nodiscard]] const char* name() const noexcept override { return name_; }

 private:
  countdown& target_;
  const char* name_;
};

/// The countdown as those see it who arrive.
class arrivals {
 public:
  explicit arrivals(countdown& at) noexcept : at_(at) {}
  bool try_enter(const waiter&) const noexcept { return at_.try_arrive(); }
  admission enter(waiter& w) const noexcept { return at_.arrive(w); }
  bool withdraw(waiter& w) const noexcept { return at_.withdraw_arrival(w); }

 private:
  countdown& at_;
};

class [[nodiscard]] countdown_arrive_operation final : public object_wait<countdown_arrive_operation, waiter, void> {
 public:
  countdown_arrive_operation(countdown& target, const char* name) noexcept : target_(target), name_(name) {}
  countdown_arrive_operation(const countdown_arrive_operation&) = default;
  ~countdown_arrive_operation() = default;

  [[nodiscard]] const arrivals& object() const noexcept { return target_; }
  void value() const noexcept {}
  [[nodiscard]] const char* name() const noexcept override { return name_; }

 private:
  arrivals target_;
  const char* name_;
};

}  // namespace weir::detail
