#pragma once

#include <cstddef>
#include <span>

#include "../copy_progress.hpp"

namespace weir::detail {

/// Makes room for so much of a rest that nothing can fail later.
void reserve_rest(copy_progress& progress, std::size_t size);
/// Puts `bytes` behind the rest, for which there is room.
void keep_rest(copy_progress& progress, std::span<const std::byte> bytes) noexcept;
[[nodiscard]] std::span<const std::byte> rest_of(const copy_progress& progress) noexcept;
/// So much of the rest has been written.
void drop_rest(copy_progress& progress, std::size_t size) noexcept;

}  // namespace weir::detail
