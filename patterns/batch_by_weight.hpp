#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "../runtime/detail/config.hpp"
#include "batch.hpp"

namespace weir {

struct batch_by_weight_options {
  /// Items that a batch may have, whatever they weigh, at least one.
  std::size_t size = 1024;
  /// No item waits longer than that for its batch to fill.
  duration longest = duration::max();
  /// To be read while the pipeline runs; must outlive it.
  stage_counters* counters = nullptr;
};
static_assert(detail::trivially_destructible<batch_by_weight_options>);

namespace detail {

class batch_by_weight_function {
 public:
  template <class Weigh>
  auto operator()(std::uint64_t most, Weigh&& weigh, const batch_by_weight_options& options = {}) const {
    WEIR_DETAIL_REQUIRE_NAMED(Weigh);
    batch_limits<std::decay_t<Weigh>> limits{options.size, options.longest, most, std::forward<Weigh>(weigh)};
    return batch_stage<std::decay_t<Weigh>, true>(std::move(limits), options.counters);
  }
};

}  // namespace detail

/// A stage that gathers items into vectors that weigh no more than `most`, as `weigh(const item&)` tells:
///
///     batch_by_weight(64'000, size_of_message)
///     batch_by_weight(64'000, size_of_message, {.size = 100, .longest = 50ms})
///
/// An item that would be too much begins the next batch; one that alone weighs more makes a batch of its own. For the
/// rest see batch. Throws std::invalid_argument for a size or a weight of 0.
inline constexpr detail::batch_by_weight_function batch_by_weight{};

}  // namespace weir
