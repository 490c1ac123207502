#pragma once

#include <span>
#include <string_view>
#include <vector>

namespace weir::detail {

/// CPUs that this process may use: affinity mask and cgroup (v2 cpu.max) quota, at least 1.
unsigned usable_cpus() noexcept;

/// The CPUs on which the calling thread may run, in order; empty when the kernel does not say.
std::vector<int> allowed_cpus();
/// Lets the calling thread run on these CPUs only. 0 or an errno.
int stay_on(std::span<const int> cpus) noexcept;

/// Calls the calling thread NAME/ROLE, with so much of the name that it fits into the 15 bytes of a thread's name.
void name_this_thread(std::string_view name, std::string_view role) noexcept;

}  // namespace weir::detail
