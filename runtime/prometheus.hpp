#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "counters.hpp"

namespace weir {

/// A label that every sample gets, beside `worker`: {"service", "echo"}. The name is one that Prometheus takes
/// ([a-zA-Z_][a-zA-Z0-9_]*); the value may be any text.
struct prometheus_label {
  std::string_view name;
  std::string_view value;
};

/// The counters in Prometheus' text format (version 0.0.4, to be served as "text/plain; version=0.0.4"). Each metric
/// has its HELP and TYPE, and one sample for each worker (worker="0"); what threads outside of the runtime did has
/// worker="outside". Of several runtimes in one process show one, or join the samples yourself: a metric may be
/// announced once. O(the number of workers).
std::string prometheus_text(const runtime_counters& counters, std::initializer_list<prometheus_label> labels = {});

}  // namespace weir
