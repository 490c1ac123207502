#pragma once

#include <cstddef>
#include <cstdint>

#include "../../runtime/task.hpp"
#include "../copy_progress.hpp"
#include "copy_end.hpp"

namespace weir::detail {

/// Lets the kernel copy `from` to `to`, as far as it does so without the bytes passing through memory of ours. True:
/// `from` is at its end, and all is written. False: it is to go on in the plain way, after `progress.rest`; nothing is
/// lost, and an error that was met will be met again. Not more than `buffer` bytes are between the ends.
///
/// Stopped or failed: what is between the ends is in `progress.rest` if `keep`, and lost otherwise.
task<bool> copy_in_kernel(copy_end from, copy_end to, std::size_t buffer, copy_progress& progress, bool keep);

/// For the counters.
void note_copied_by_buffer(std::uint64_t bytes) noexcept;

}  // namespace weir::detail
