#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "../../runtime/result.hpp"

namespace weir::detail {

bool is_misaligned(const void* address, std::size_t size) noexcept;
/// Why the kernel says EINVAL to a transfer of a file that is open for direct I/O.
failure direct_failure(const char* verb, const std::string& object, const void* address, std::size_t size,
                       std::uint64_t offset);

}  // namespace weir::detail
