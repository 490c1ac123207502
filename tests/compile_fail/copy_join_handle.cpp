// expect: deleted
#include <weir/runtime/spawn.hpp>

void twice(const weir::join_handle<>& h) { weir::join_handle<> copy = h; }
