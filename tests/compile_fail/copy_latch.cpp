// expect: deleted
// A copy would have its own waiters: whoever waits at it waits for ever.
#include <weir/sync/latch.hpp>

void take(weir::latch by_value);
void give(weir::latch& given) { take(given); }
