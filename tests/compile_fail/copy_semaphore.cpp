// expect: deleted
// A copy would have its own waiters: whoever waits at it waits for ever.
#include <weir/sync/semaphore.hpp>

void take(weir::semaphore by_value);
void give(weir::semaphore& given) { take(given); }
