#pragma once

#include <cstdint>

namespace weir {

/// What becomes of the work that an object has accepted when it is shut down.
enum class shutdown_mode : std::uint8_t {
  drain,   ///< all of it is done first, also what still waits
  cancel,  ///< what runs is stopped, and what waits is never begun; each gets the answer `cancelled`
};

}  // namespace weir
