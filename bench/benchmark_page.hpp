#pragma once
// docs/benchmarks.md: what a run of all benches has found, as tables and pictures.

#include "json_value.hpp"

#include <string>
#include <utility>
#include <vector>

namespace bench {

struct benchmark_page {
  std::string text;                                           // Markdown
  std::vector<std::pair<std::string, std::string>> pictures;  // names relative to the text's folder, and SVG
};

/// From what `bench all` has written. Throws std::runtime_error when that is something else.
benchmark_page page_of(const json_value& run);

}  // namespace bench
