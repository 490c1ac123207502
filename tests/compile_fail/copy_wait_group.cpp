// expect: deleted
// A copy would have its own waiters: whoever waits at it waits for ever.
#include <weir/sync/wait_group.hpp>

void take(weir::wait_group by_value);
void give(weir::wait_group& given) { take(given); }
