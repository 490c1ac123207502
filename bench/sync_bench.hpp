#pragma once
// What channels, locks, timers and tasks cost, on weir and on the raw floor (raw_coroutines.hpp).

#include "case_sample.hpp"
#include "columns.hpp"
#include "sync_cases.hpp"

namespace bench {

// Each of them on the calling thread, and weir with two workers on another one as well.
case_sample run_raw(sync_case which, std::uint64_t operations);
case_sample run_weir(sync_case which, std::uint64_t operations, column how);

}  // namespace bench
