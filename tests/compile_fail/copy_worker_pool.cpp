// expect: deleted
#include <weir/patterns/worker_pool.hpp>

int square(int n) { return n * n; }

void two_of_one(weir::worker_pool<int(int)>& pool) { weir::worker_pool<int(int)> second(pool); }
