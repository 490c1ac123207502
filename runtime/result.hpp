#pragma once

#include <exception>
#include <string>
#include <system_error>
#include <utility>

#include "detail/config.hpp"
#include "detail/slot.hpp"
#include "errors.hpp"

namespace weir {
namespace detail {

/// What went wrong, without an exception object where none is needed.
class failure {
 public:
  enum class kind : std::uint8_t { none, code, exception, timed_out, cancelled };

  failure() = default;
  /// An error of an operation: `sentence` is what the exception would say before the code's own message.
  failure(std::error_code code, std::string sentence)
      : kind_(kind::code), code_(code), sentence_(std::move(sentence)) {}
  explicit failure(std::exception_ptr exception) noexcept : kind_(kind::exception), exception_(std::move(exception)) {}
  static failure timeout() noexcept { return failure(kind::timed_out, cancellation_cause::deadline); }
  static failure cancellation(cancellation_cause cause) noexcept { return failure(kind::cancelled, cause); }

  explicit operator bool() const noexcept { return kind_ != kind::none; }
  [[nodiscard]] bool is_cancelled() const noexcept;
  [[nodiscard]] cancellation_cause cause() const noexcept;
  [[nodiscard]] std::error_code code() const noexcept;
  /// Made on demand for failures that were not born as exceptions.
  [[nodiscard]] std::exception_ptr exception() const;
  [[noreturn]] void rethrow() const;

 private:
  failure(kind k, cancellation_cause cause) noexcept : kind_(k), cause_(cause) {}

  kind kind_ = kind::none;
  cancellation_cause cause_ = cancellation_cause::none;
  std::error_code code_;
  std::string sentence_;
  std::exception_ptr exception_;
};

template <class T>
struct result_storage {
  slot<T> value;
};
template <class T>
struct result_storage<T&> {
  T* value = nullptr;
};
template <>
struct result_storage<void> {};

}  // namespace detail

/// How an operation ended: a value, or a failure that can be asked for its error code, its exception and, when it was
/// cancelled, the cause. Made by as_result() and join handles. A result is never "stopped": a cancellation from outside
/// its operand goes past it.
template <class T>
class [[nodiscard]] result {
 public:
  using value_type = T;

  result(detail::failure failure) noexcept : failure_(std::move(failure)) {}  // NOLINT(google-explicit-constructor)
  template <class U>
    requires(!std::is_void_v<T> && !std::is_same_v<std::remove_cvref_t<U>, result> &&
             !std::is_same_v<std::remove_cvref_t<U>, detail::failure>)
  result(std::in_place_t, U&& value) {
    if constexpr (std::is_reference_v<T>) {
      storage_.value = std::addressof(value);
    } else {
      storage_.value.emplace(std::forward<U>(value));
    }
  }
  explicit result(std::in_place_t)
    requires std::is_void_v<T>
  {}

  [[nodiscard]] bool has_value() const noexcept { return !failure_; }
  explicit operator bool() const noexcept { return has_value(); }

  /// Cancelled, for whatever cause but a deadline of its own (that one is timed_out).
  [[nodiscard]] bool is_cancelled() const noexcept { return failure_.is_cancelled(); }
  /// The error as a code; empty when there is a value. Compares with std::errc: `r.error() == std::errc::timed_out`.
  /// An exception that is no std::system_error has weir::errc::exception.
  [[nodiscard]] std::error_code error() const noexcept { return failure_.code(); }
  /// Why it was cancelled or timed out; none otherwise.
  [[nodiscard]] cancellation_cause cause() const noexcept { return failure_.cause(); }
  /// The failure as an exception; null when there is a value.
  [[nodiscard]] std::exception_ptr exception() const { return failure_.exception(); }

  /// The value; throws the failure when there is none.
  std::add_lvalue_reference_t<T> value() & {
    require();
    if constexpr (!std::is_void_v<T>) return *storage_.value;
  }
  std::add_lvalue_reference_t<const T> value() const& {
    require();
    if constexpr (!std::is_void_v<T>) return *storage_.value;
  }
  T value() && {
    require();
    if constexpr (std::is_reference_v<T>) {
      return *storage_.value;
    } else if constexpr (!std::is_void_v<T>) {
      return std::move(*storage_.value);
    }
  }

  /// The value, which must be there: debug builds tell if it is not.
  template <class U = T>
    requires(!std::is_void_v<U>)
  std::add_lvalue_reference_t<U> operator*() & noexcept {
    return stored();
  }
  template <class U = T>
    requires(!std::is_void_v<U>)
  std::add_lvalue_reference_t<const U> operator*() const& noexcept {
    return stored();
  }
  template <class U = T>
    requires(!std::is_void_v<U> && !std::is_reference_v<U>)
  U operator*() && noexcept {
    return std::move(stored());
  }
  template <class U = T>
    requires(!std::is_void_v<U>)
  std::remove_reference_t<U>* operator->() noexcept {
    return std::addressof(stored());
  }
  template <class U = T>
    requires(!std::is_void_v<U>)
  const std::remove_reference_t<U>* operator->() const noexcept {
    return std::addressof(stored());
  }

 private:
  void require() const {
    if (failure_) failure_.rethrow();
  }
  auto& stored() noexcept {
    require_value();
    return *storage_.value;
  }
  auto& stored() const noexcept {
    require_value();
    return *storage_.value;
  }
  void require_value() const noexcept {
    WEIR_DETAIL_ASSERT(
        has_value(),
        "the value of a result that is a failure: ask whether there is one, or use value(), which throws "
        "the failure");
  }

  detail::failure failure_;
  [[no_unique_address]] detail::result_storage<T> storage_;
};

}  // namespace weir
