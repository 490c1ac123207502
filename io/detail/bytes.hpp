#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace weir::detail {

// What becomes of a std::span is asked of its concepts, at once and in every file that includes weir, unless it stands
// in a template that nobody has called yet. So these are templates, and the others are in the sources.

/// What is left of `all` behind the first `n`.
template <class Byte>
std::span<Byte> behind(std::span<Byte> all, std::size_t n) noexcept {
  return all.subspan(n);
}

std::span<const std::byte> bytes_of(std::string_view text) noexcept;

}  // namespace weir::detail
