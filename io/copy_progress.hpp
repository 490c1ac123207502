#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace weir {

/// How far a copy() has come, for who stops one, and wants to go on: see copy_options::progress.
struct copy_progress {
  std::uint64_t copied = 0;     ///< written to `to`, by all copies that were given this
  std::vector<std::byte> rest;  ///< read from `from` and not written, when a copy was stopped or has failed; in order
};

}  // namespace weir
