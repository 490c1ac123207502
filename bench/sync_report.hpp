#pragma once
// What sync_bench found, as a table, as sentences about the targets, and as JSON.

#include "sync_bench.hpp"
#include "verdict.hpp"

#include <string>
#include <vector>

namespace bench {

std::string sync_table(const sync_report& report);

/// What the figures rest on.
std::vector<std::string> sync_notes(const sync_report& report);

/// The project's own limits, for a machine like the one they were measured on.
std::vector<target> check_targets(const sync_report& report);

std::string to_json(const sync_report& report);

}  // namespace bench
