#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>
#include <variant>

namespace weir {

/// Which of several operations was first, and its value: what when_any and select complete with.
template <class... Ts>
class indexed_result {
  template <class T>
  using stored =
      std::conditional_t<std::is_void_v<T>, std::monostate,
                         std::conditional_t<std::is_reference_v<T>, std::add_pointer_t<std::remove_reference_t<T>>, T>>;
  using variant = std::variant<stored<Ts>...>;

 public:
  template <std::size_t I>
  using type = std::tuple_element_t<I, std::tuple<Ts...>>;

  template <std::size_t I, class... Args>
  explicit indexed_result(std::in_place_index_t<I> which, Args&&... args)
      : value_(which, std::forward<Args>(args)...) {}

  /// The position of the operation among the arguments, from 0.
  [[nodiscard]] std::size_t index() const noexcept { return value_.index(); }
  /// Its value. Throws std::bad_variant_access when I is not index().
  template <std::size_t I>
  decltype(auto) get() & {
    return unwrap<I>(std::get<I>(value_));
  }
  template <std::size_t I>
  decltype(auto) get() const& {
    return unwrap<I>(std::get<I>(value_));
  }
  template <std::size_t I>
  type<I> get() && {
    if constexpr (std::is_void_v<type<I>>) {
      static_cast<void>(std::get<I>(value_));
    } else if constexpr (std::is_reference_v<type<I>>) {
      return *std::get<I>(value_);
    } else {
      return std::get<I>(std::move(value_));
    }
  }

 private:
  template <std::size_t I, class U>
  static decltype(auto) unwrap(U& value) {
    if constexpr (std::is_void_v<type<I>>) {
      return static_cast<void>(value);
    } else if constexpr (std::is_reference_v<type<I>>) {
      return (*value);
    } else {
      return (value);
    }
  }
  variant value_;
};

}  // namespace weir
