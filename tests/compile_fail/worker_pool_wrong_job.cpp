// expect: the function cannot be called with the arguments of the pool's jobs
#include <weir/patterns/worker_pool.hpp>

#include <string>

int square(int n) { return n * n; }

void make() { weir::worker_pool<int(std::string)> pool{square, {.workers = 1}}; }
