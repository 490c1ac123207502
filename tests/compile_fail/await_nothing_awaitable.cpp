// expect: this cannot be awaited
#include <weir/runtime/task.hpp>

weir::task<> main_task() { co_await 3; }
