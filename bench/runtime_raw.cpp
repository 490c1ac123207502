#include "memory_growth.hpp"
#include "raw_library.hpp"
#include "runtime_bench.hpp"

namespace bench {

case_sample run_raw(runtime_case which, std::uint64_t operations) {
  return with_case<raw_library>(which,
                                [&]<class Case>(std::type_identity<Case>) { return run_raw_case<Case>(operations); });
}

case_sample run_raw_parked(std::uint64_t tasks) {
  // Nobody wakes them, and the process ends with them.
  static parked_case<raw_library> measured;
  const memory_growth growth;
  run_raw_once(measured, tasks);
  return {.value = static_cast<double>(growth.bytes()) / static_cast<double>(tasks),
          .right = measured.asleep() == tasks};
}

}  // namespace bench
