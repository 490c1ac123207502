#pragma once

// For .cpp files only: this header brings in the kernel's names.

#include <liburing.h>

#include "io_operation.hpp"

namespace weir::detail {

inline io_uring_sqe* raw(ring_entry& entry) noexcept { return reinterpret_cast<io_uring_sqe*>(&entry); }

}  // namespace weir::detail
