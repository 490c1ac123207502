#pragma once

#include <cstdint>

namespace weir {

/// How an object that owns tasks ends.
enum class shutdown_mode : std::uint8_t {
  drain,   ///< takes nothing more, and finishes what it has taken
  cancel,  ///< takes nothing more, discards what has not begun, and stops what has
};

}  // namespace weir
