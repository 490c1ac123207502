// expect: a leaf such as sleep_for is no task
// A leaf has no frame: spawn a lambda that awaits it.
#include <weir/runtime/sleep.hpp>
#include <weir/runtime/spawn.hpp>

void start() { weir::spawn(weir::sleep_for(std::chrono::seconds(1))); }
