// expect: deleted
#include <weir/patterns/worker_pool.hpp>

weir::job_ticket<int> second(const weir::job_ticket<int>& first) { return first; }
