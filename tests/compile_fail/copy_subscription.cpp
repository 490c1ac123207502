// expect: deleted
// Two copies would share one place, and each would see a part of what is sent.
#include <weir/sync/broadcast.hpp>

void take(weir::broadcast_subscription<int> by_value);
void give(weir::broadcast_subscription<int>& given) { take(given); }
