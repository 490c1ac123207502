#include "path_name.hpp"

namespace weir::detail {

bool is_cut_short(const std::string& path) noexcept { return path.find('\0') != std::string::npos; }

std::string shown(const std::string& path) {
  std::string text = path;
  for (std::size_t at = 0; (at = text.find('\0', at)) != std::string::npos; at += 2) text.replace(at, 1, "\\0");
  return text;
}

}  // namespace weir::detail
