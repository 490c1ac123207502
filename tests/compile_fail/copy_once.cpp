// expect: deleted
// A copy would be done twice.
#include <weir/sync/once.hpp>

void take(weir::once by_value);
void give(weir::once& given) { take(given); }
