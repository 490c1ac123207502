// expect: deleted
#include <weir/runtime/cancellation.hpp>

void twice(const weir::cancellation_source& s) { weir::cancellation_source copy = s; }
