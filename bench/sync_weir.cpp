#include "sync_bench.hpp"
#include "sync_weir_cases.hpp"
#include "weir_library.hpp"

namespace bench {

case_sample run_weir(sync_case which, std::uint64_t operations, column how) {
  return with_weir_case(which, [&]<class Case>(std::type_identity<Case>) {
    return weir::run(run_weir_case<Case>(operations, !with_two_threads(how)), weir_options(how));
  });
}

}  // namespace bench
