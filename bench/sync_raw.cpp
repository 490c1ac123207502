#include "raw_library.hpp"
#include "sync_bench.hpp"

namespace bench {

case_sample run_raw(sync_case which, std::uint64_t operations) {
  return with_case<raw_library>(which,
                                [&]<class Case>(std::type_identity<Case>) { return run_raw_case<Case>(operations); });
}

}  // namespace bench
