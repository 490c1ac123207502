// expect: middleware is shared, and kept by reference
#include <weir/patterns/worker_pool.hpp>

struct passing {
  template <class F>
  auto run(F job) {
    return job();
  }
};

int square(int n) { return n * n; }

void make() { weir::worker_pool pool{square, {.workers = 1}, passing()}; }
