#pragma once

#include <utility>

#include "transform_many.hpp"

namespace weir {
namespace detail {

class as_it_is {
 public:
  template <class T>
  T operator()(T&& item) const {
    return std::forward<T>(item);
  }
};

class unbatch_function {
 public:
  auto operator()() const {
    using make = making_many<as_it_is>;
    return generator_stage<make>(make(as_it_is(), nullptr));
  }
};

}  // namespace detail

/// A stage that takes ranges, such as batches, apart: `unbatch()`. Their elements go on one by one, moved out of them.
inline constexpr detail::unbatch_function unbatch{};

}  // namespace weir
