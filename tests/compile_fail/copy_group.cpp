// expect: abstract
#include <weir/runtime/task_group.hpp>

void twice(weir::task_group& g) { weir::task_group copy = g; }
