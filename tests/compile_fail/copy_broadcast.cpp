// expect: deleted
// A copy would have subscribers of its own: what is sent to one is not seen at the other.
#include <weir/sync/broadcast.hpp>

void take(weir::broadcast<int> by_value);
void give(weir::broadcast<int>& given) { take(given); }
