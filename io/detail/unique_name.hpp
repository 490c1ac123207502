#pragma once

#include <string>

namespace weir::detail {

/// A name in `directory` that nobody else uses: ".weir-" and 64 random bits. In a simulation the seed throws the dice.
std::string unique_name_in(const std::string& directory);
/// Where the name of `path` stands: "." for a name alone.
std::string directory_of(const std::string& path);

}  // namespace weir::detail
