#pragma once
// How many jobs a pool does in a second, by its number of workers and the length of its queue: jobs that compute for a
// microsecond, and jobs that wait for 100. So many are under way that the queue is always full.

#include "columns.hpp"
#include "svg_plot.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace bench {

enum class job_kind : std::uint8_t { compute, wait };

struct sweep_point {
  job_kind job;
  column how;  // one worker of the runtime, or two
  std::size_t queue;
  std::size_t workers;
  double jobs_per_second;
};

struct pool_sweep {
  std::vector<sweep_point> points;
  std::vector<std::string> failures;
};

pool_sweep sweep_pool(bool smoke, const std::function<void(const std::string&)>& progress);

/// A table for each kind of job and runtime.
std::string sweep_tables(const pool_sweep& sweep);
plot sweep_plot(const pool_sweep& sweep);
/// An array of an object for each point.
std::string to_json(const pool_sweep& sweep);

}  // namespace bench
