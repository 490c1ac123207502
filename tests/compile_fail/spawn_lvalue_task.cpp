// expect: a task is given away
// A task is given away.
#include <weir/runtime/spawn.hpp>

weir::task<> work();

void start() {
  auto t = work();
  weir::spawn(t);
}
