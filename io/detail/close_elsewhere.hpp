#pragma once

namespace weir::detail {

/// Closes `number` on a thread of the offload pool, for descriptors whose closing takes the kernel milliseconds; on the
/// spot where there is no pool, or no thread. The runtime does not end before it is closed.
void close_elsewhere(int number) noexcept;

}  // namespace weir::detail
