#pragma once

#include <string>

namespace weir::detail {

/// The kernel would take the part before a zero byte for the whole name.
bool is_cut_short(const std::string& path) noexcept;
/// For error sentences: with zero bytes to be seen.
std::string shown(const std::string& path);

}  // namespace weir::detail
