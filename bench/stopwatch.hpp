#pragma once
// Time passed, and CPU time of the calling thread and of the process, since it was made.

#include <ctime>

namespace bench {

class stopwatch {
 public:
  [[nodiscard]] double wall_ns() const noexcept { return read(CLOCK_MONOTONIC) - wall_; }
  [[nodiscard]] double cpu_ns() const noexcept { return read(CLOCK_THREAD_CPUTIME_ID) - cpu_; }
  [[nodiscard]] double process_cpu_ns() const noexcept { return read(CLOCK_PROCESS_CPUTIME_ID) - process_cpu_; }

 private:
  static double read(clockid_t clock) noexcept {
    timespec t{};
    clock_gettime(clock, &t);
    return 1e9 * static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec);
  }
  double process_cpu_ = read(CLOCK_PROCESS_CPUTIME_ID);
  double wall_ = read(CLOCK_MONOTONIC);
  double cpu_ = read(CLOCK_THREAD_CPUTIME_ID);
};

}  // namespace bench
