#pragma once

namespace weir::detail {

/// CPUs that this process may use: affinity mask and cgroup (v2 cpu.max) quota, at least 1.
unsigned usable_cpus() noexcept;

}  // namespace weir::detail
