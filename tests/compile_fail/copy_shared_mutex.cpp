// expect: deleted
// A copy would have its own waiters: whoever waits at it waits for ever.
#include <weir/sync/shared_mutex.hpp>

void take(weir::shared_mutex by_value);
void give(weir::shared_mutex& given) { take(given); }
