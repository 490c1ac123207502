#pragma once

#include <cstdint>

#include "../../runtime/detail/selection.hpp"
#include "../detail/io_operation.hpp"

namespace weir::detail {

/// Waits until a descriptor is ready, and moves nothing: one of weir's, or a number that is not. What is ready may be
/// an error or the end, too.
class poll_leaf : public io_leaf {
 public:
  // The selectable protocol. The kernel may have it: see there.
  static constexpr bool lingers = true;
  bool try_commit() noexcept;
  bool arm_case(case_link link) noexcept;
  void withdraw_case() noexcept { withdraw_as_case(); }
  [[nodiscard]] const void* case_object() const noexcept { return nullptr; }

 protected:
  poll_leaf(descriptor* target, std::uint32_t events) noexcept : io_leaf(target), watch_{-1, events} {}
  poll_leaf(int number, std::uint32_t events) noexcept : io_leaf(nullptr), foreign_(true), watch_{number, events} {}
  poll_leaf(const poll_leaf&) = default;
  ~poll_leaf() = default;

 private:
  void prepare(ring_entry& entry) noexcept override;
  int attempt() noexcept override;
  int simulate(simulated_kernel& kernel) noexcept override;
  [[nodiscard]] readiness needs() const noexcept override;
  [[nodiscard]] foreign_watch* foreign() noexcept override { return foreign_ ? &watch_ : nullptr; }
  [[nodiscard]] io_use use() const noexcept override { return foreign_ ? io_use::nothing : io_use::watching; }
  [[nodiscard]] std::string object() const override;
  void end_as_case() noexcept override;
  [[nodiscard]] int number() const noexcept { return foreign_ ? watch_.number : fd(); }

  bool foreign_ = false;
  foreign_watch watch_;
  case_link in_select_;
};

/// Of a stream or a listener.
class [[nodiscard]] readiness_operation final : public io_awaitable<readiness_operation, void, poll_leaf> {
 public:
  static constexpr const char* verb = "poll";
  static readiness_operation readable(descriptor* target) noexcept;
  static readiness_operation writable(descriptor* target) noexcept;
  readiness_operation(const readiness_operation&) = default;
  ~readiness_operation() = default;

  void value() const noexcept {}

 private:
  readiness_operation(descriptor* target, std::uint32_t events) noexcept : io_awaitable(target, events) {}
};

/// Of a number that is not weir's.
class [[nodiscard]] poll_operation final : public io_awaitable<poll_operation, int, poll_leaf> {
 public:
  static constexpr const char* verb = "poll";
  poll_operation(int number, int events) noexcept : io_awaitable(number, static_cast<std::uint32_t>(events)) {}
  poll_operation(const poll_operation&) = default;
  ~poll_operation() = default;

  [[nodiscard]] int value() const noexcept { return result(); }
};

}  // namespace weir::detail
