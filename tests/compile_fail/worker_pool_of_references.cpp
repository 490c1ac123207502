// expect: jobs keep their arguments, so they are plain object types
#include <weir/patterns/worker_pool.hpp>

int square(int n) { return n * n; }

void make() { weir::worker_pool<int(const int&)> pool{square, {.workers = 1}}; }
