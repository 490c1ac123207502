#include "sync_bench.hpp"
#include "sync_weir_cases.hpp"
#include "weir_library.hpp"

namespace bench {

case_sample run_weir(sync_case which, std::uint64_t operations, sync_column how) {
  const bool alone = how != sync_column::two_workers;
  const weir::runtime_options options = weir_options(alone, how == sync_column::confined);
  return with_weir_case(which, [&]<class Case>(std::type_identity<Case>) {
    return weir::run(run_weir_case<Case>(operations, alone), options);
  });
}

}  // namespace bench
