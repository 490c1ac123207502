#pragma once

#include <cstdint>

#include "filter.hpp"

namespace weir {
namespace detail {

class skipping {
 public:
  explicit skipping(std::uint64_t number) noexcept : left_(number) {}
  template <class T>
  bool operator()(const T&) noexcept {
    if (left_ == 0) return true;
    --left_;
    return false;
  }

 private:
  std::uint64_t left_;
};

class skip_function {
 public:
  auto operator()(std::uint64_t number) const { return filter_stage<skipping>(skipping(number), nullptr); }
};

}  // namespace detail

/// A stage that destroys the first `number` items and lets the others through: `skip(1)`. Runs as filter does.
inline constexpr detail::skip_function skip{};

}  // namespace weir
