#pragma once

#include "filter.hpp"
#include "stage_counters.hpp"

namespace weir {
namespace detail {

class passing {
 public:
  template <class T>
  bool operator()(const T&) const noexcept {
    return true;
  }
};

class inspect_function {
 public:
  auto operator()(stage_counters& counters) const { return filter_stage<passing>(passing(), &counters); }
};

}  // namespace detail

/// A stage that counts the items that go by, where a stage without counters is, or between two: `inspect(counters)`.
/// Fused with the stages around it.
inline constexpr detail::inspect_function inspect{};

}  // namespace weir
