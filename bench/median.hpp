#pragma once
// The median of what could be measured.

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace bench {

/// Of the finite values; NaN when there is none.
inline double median_of(std::vector<double> values) {
  std::erase_if(values, [](double v) { return !std::isfinite(v); });
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

}  // namespace bench
