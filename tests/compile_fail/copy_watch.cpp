// expect: deleted
// A copy would have observers of its own: a change of one is not seen at the other.
#include <weir/sync/watch.hpp>

void take(weir::watch<int> by_value);
void give(weir::watch<int>& given) { take(given); }
