#pragma once

#include <string>

namespace weir::detail {

/// Whether there is a zero byte in it: the kernel, or the C library, would take the part before that for all of it.
bool is_cut_short(const std::string& text) noexcept;
/// For error sentences: with zero bytes to be seen.
std::string shown(const std::string& path);
/// Where the name of `path` stands: "." for a name alone.
std::string directory_of(const std::string& path);
/// A name in `directory` that nobody else uses: ".weir-" and 64 random bits. In a simulation the seed throws the dice.
std::string unique_name_in(const std::string& directory);

}  // namespace weir::detail
