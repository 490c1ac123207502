#pragma once
// What case_bench found, as a table, as sentences about the goals, and as JSON.

#include "case_bench.hpp"
#include "verdict.hpp"

#include <string>
#include <vector>

namespace bench {

std::string case_table(const case_report& report);

/// What the figures rest on.
std::vector<std::string> case_notes(const case_report& report);

/// The project's own goals, for a machine like the one they were measured on, and weir against its peers.
std::vector<target> check_targets(const case_report& report);

/// The whole; `more` goes in as further members, each begun with a comma.
std::string to_json(const case_report& report, const std::string& more = {});

}  // namespace bench
