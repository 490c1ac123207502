// expect: deleted
#include <weir/sync/mutex.hpp>

weir::mutex_guard copy(const weir::mutex_guard& other) { return other; }
