#include "bytes.hpp"

namespace weir::detail {

std::span<const std::byte> bytes_of(std::string_view text) noexcept { return std::as_bytes(std::span(text)); }

}  // namespace weir::detail
