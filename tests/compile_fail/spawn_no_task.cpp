// expect: no matching
// What is spawned returns a task.
#include <weir/runtime/spawn.hpp>

void start() {
  auto plain = [] { return 3; };
  weir::spawn(plain);
}
