// expect: deleted
// A copy would have its own locks.
#include <weir/sync/sharded.hpp>

void take(weir::sharded<int> by_value);
void give(weir::sharded<int>& given) { take(given); }
