// expect: deleted
#include <weir/runtime/task.hpp>

void twice(const weir::task<>& t) { weir::task<> copy = t; }
