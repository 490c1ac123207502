#pragma once
// What runtime_bench found, as a table, as sentences about the targets, and as JSON.

#include "runtime_bench.hpp"
#include "verdict.hpp"

#include <string>
#include <vector>

namespace bench {

std::string runtime_table(const runtime_report& report);

/// What the figures rest on.
std::vector<std::string> runtime_notes(const runtime_report& report);

/// The project's own limits, for a machine like the one they were measured on, and weir against its peers.
std::vector<target> check_targets(const runtime_report& report);

std::string to_json(const runtime_report& report);

}  // namespace bench
