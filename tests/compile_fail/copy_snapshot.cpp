// expect: deleted
// What is shared is the snapshot itself; a version can be copied.
#include <weir/sync/snapshot.hpp>

void take(weir::snapshot<int> by_value);
void give(weir::snapshot<int>& given) { take(given); }
