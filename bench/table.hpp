#pragma once
// A plain text table: first column to the left, the others to the right.

#include <string>
#include <vector>

namespace bench {

/// The first row is the heading.
std::string format_table(const std::vector<std::vector<std::string>>& rows);

/// With `digits` after the point; "n/a" for what could not be measured (NaN).
std::string figure(double value, int digits);

}  // namespace bench
