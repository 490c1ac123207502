#include "machine.hpp"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
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

std::vector<int> allowed_cpus() {
  std::vector<int> cpus;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(static_cast<std::size_t>(cpu), &set)) cpus.push_back(cpu);
  }
  return cpus;
}

int stay_on(std::span<const int> cpus) noexcept {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : cpus) CPU_SET(static_cast<std::size_t>(cpu), &set);
  return sched_setaffinity(0, sizeof set, &set) == 0 ? 0 : errno;
}

void name_this_thread(std::string_view name, std::string_view role) noexcept {
  constexpr std::size_t longest = 15;
  std::array<char, longest + 1> text{};
  role = role.substr(0, longest - 1);
  const std::size_t room = longest - 1 - role.size();
  char* end = std::ranges::copy(name.substr(0, room), text.data()).out;
  *end++ = '/';
  std::ranges::copy(role, end);
  static_cast<void>(pthread_setname_np(pthread_self(), text.data()));
}

}  // namespace weir::detail
