#include "table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace bench {

std::string format_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string out;
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      out += i == 0 ? fmt::format("{:<{}}", row[i], widths[i]) : fmt::format("  {:>{}}", row[i], widths[i]);
    }
    out += '\n';
    if (&row == &rows.front()) {
      for (std::size_t i = 0; i < widths.size(); ++i)
        out += fmt::format("{}{:-<{}}", i == 0 ? "" : "  ", "", widths[i]);
      out += '\n';
    }
  }
  return out;
}

std::string figure(double value, int digits) {
  return std::isfinite(value) ? fmt::format("{:.{}f}", value, digits) : "n/a";
}

}  // namespace bench
