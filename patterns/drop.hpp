#pragma once

#include <cstdint>

#include "filter.hpp"

namespace weir {
namespace detail {

class dropping {
 public:
  explicit dropping(std::uint64_t number) noexcept : left_(number) {}
  template <class T>
  bool operator()(const T&) noexcept {
    if (left_ == 0) return true;
    --left_;
    return false;
  }

 private:
  std::uint64_t left_;
};

class drop_function {
 public:
  auto operator()(std::uint64_t number) const { return filter_stage<dropping>(dropping(number), nullptr); }
};

}  // namespace detail

/// A stage that destroys the first `number` items and lets the others through: `drop(1)`, as std::views::drop does.
/// Runs as filter does.
inline constexpr detail::drop_function drop{};

}  // namespace weir
