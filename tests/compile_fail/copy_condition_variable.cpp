// expect: deleted
// A copy would have its own waiters: whoever waits at it waits for ever.
#include <weir/sync/condition_variable.hpp>

void take(weir::condition_variable by_value);
void give(weir::condition_variable& given) { take(given); }
