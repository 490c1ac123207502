// expect: deleted
// A copy would make its value again.
#include <weir/sync/lazy.hpp>

void take(weir::lazy<int> by_value);
void give(weir::lazy<int>& given) { take(given); }
