// expect: deleted
// A copy would have its own waiters: whoever waits at it waits for ever.
#include <weir/sync/barrier.hpp>

void take(weir::barrier by_value);
void give(weir::barrier& given) { take(given); }
