#include "batcher.hpp"

#include <stdexcept>

namespace weir::detail {

batcher_options checked_batcher_options(batcher_options options) {
  constexpr std::size_t most = std::numeric_limits<std::size_t>::max() / 8;
  if (options.room == 0) options.room = std::min(options.size, most / 2) * 2;
  if (options.size == 0 || options.weight == 0 || options.flushes == 0 || options.longest < duration::zero() ||
      options.room < std::min(options.size, most) || options.room > most) {
    throw std::invalid_argument(
        "weir: batcher: the options must have size, weight and flushes of at least 1, no negative time, and room for "
        "at least one batch");
  }
  return options;
}

}  // namespace weir::detail
