#include "machine.hpp"

#include <sched.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <thread>

namespace weir::detail {

namespace {

struct close_file {
  void operator()(std::FILE* file) const noexcept { static_cast<void>(std::fclose(file)); }
};

/// The quota of the cgroup that a container sees as its own, in CPUs rounded up; 0 when there is none.
unsigned cgroup_cpus() noexcept {
  const std::unique_ptr<std::FILE, close_file> file(std::fopen("/sys/fs/cgroup/cpu.max", "re"));
  long quota = 0;
  long period = 0;
  // "max 100000" does not match and means no limit.
  if (!file || std::fscanf(file.get(), "%ld %ld", &quota, &period) != 2 || quota <= 0 || period <= 0) return 0;
  return static_cast<unsigned>(std::max(1L, (quota + period - 1) / period));
}

}  // namespace

unsigned usable_cpus() noexcept {
  unsigned cpus = std::max(1u, std::thread::hardware_concurrency());
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) cpus = static_cast<unsigned>(std::max(1, CPU_COUNT(&set)));
  const unsigned quota = cgroup_cpus();
  return quota == 0 ? cpus : std::min(cpus, quota);
}

}  // namespace weir::detail
