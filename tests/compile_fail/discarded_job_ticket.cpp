// expect: nodiscard
#include <weir/patterns/worker_pool.hpp>

void lost(weir::worker_pool<int(int)>& pool) { pool.try_submit(1); }
