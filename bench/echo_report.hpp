#pragma once
// What an echo bench found, as a table, as sentences about the targets, and as JSON.

#include "echo_bench.hpp"
#include "verdict.hpp"

#include <string>
#include <vector>

namespace bench {

std::string echo_table(const echo_report& report, unsigned connections);

/// What the figures rest on: cores, client, what could not be counted, builds without optimisation.
std::vector<std::string> echo_notes(const echo_report& report);

/// The project's own limits for weir on io_uring, one worker, 64-byte messages.
std::vector<target> check_targets(const echo_report& report);

std::string to_json(const echo_report& report);

}  // namespace bench
