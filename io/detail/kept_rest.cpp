#include "kept_rest.hpp"

#include <algorithm>

#include "kernel_copy.hpp"

namespace weir::detail {

void reserve_rest(copy_progress& progress, std::size_t size) { progress.rest.reserve(std::max<std::size_t>(size, 1)); }

void keep_rest(copy_progress& progress, std::span<const std::byte> bytes) noexcept {
  progress.rest.insert(progress.rest.end(), bytes.begin(), bytes.end());
}

std::span<const std::byte> rest_of(const copy_progress& progress) noexcept { return progress.rest; }

void drop_rest(copy_progress& progress, std::size_t size) noexcept {
  progress.rest.erase(progress.rest.begin(), progress.rest.begin() + static_cast<std::ptrdiff_t>(size));
  progress.copied += size;
  note_copied_by_buffer(size);
}

}  // namespace weir::detail
