// How far a rate limiter is from its rate in real time:  program-limiter_drift [SECONDS]
// One task takes tokens as fast as it gets them. What it is late by must not grow with the time it runs.

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include <weir/weir.hpp>

namespace {

weir::task<double> run_for(double seconds) {
  constexpr std::uint64_t rate = 1000;
  constexpr std::uint64_t burst = 100;
  weir::rate_limiter limiter(rate, std::chrono::seconds(1), burst);
  const auto count = static_cast<std::uint64_t>(seconds * rate) + burst;
  const auto start = weir::now();
  for (std::uint64_t i = 0; i < count; ++i) co_await limiter.acquire();
  co_return std::chrono::duration<double>(weir::now() - start).count();
}

}  // namespace

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::atof(argv[1]) : 1;
  if (!(seconds > 0 && seconds < 1e6)) {
    std::puts("usage: program-limiter_drift [SECONDS]");
    return 2;
  }
  const double took = weir::run(run_for(seconds), {.workers = 1});
  const double late = took - seconds;
  std::printf("%.0f tokens per second for %.1f s: %.6f s late, %.4f %%\n", 1000.0, seconds, late, 100 * late / seconds);
  // A busy machine may wake the task late at the very end; that does not grow.
  const bool right = late >= -1e-6 && late <= 0.001 * seconds + 0.2;
  if (!right) std::puts("FAIL it drifts");
  return right ? 0 : 1;
}
