#pragma once
// What tasks, turns, timers and uncontended locks cost on weir and on the raw floor (raw_coroutines.hpp). Two rows have
// a process to themselves each time: tasks that sleep (the CPU time that a second of sleep costs, in ms, and how long
// that second was), and the bytes that a sleeping task takes.

#include "case_sample.hpp"
#include "columns.hpp"
#include "runtime_cases.hpp"

#include <chrono>

namespace bench {

// Each of them on the calling thread, and weir with two workers on another one as well.
case_sample run_raw(runtime_case which, std::uint64_t operations);
case_sample run_weir(runtime_case which, std::uint64_t operations, column how);
case_sample run_weir_sleeps(std::uint64_t tasks, std::chrono::nanoseconds length, column how);
// What their tasks take is there until the process ends.
case_sample run_raw_parked(std::uint64_t tasks);
case_sample run_weir_parked(std::uint64_t tasks, column how);

}  // namespace bench
