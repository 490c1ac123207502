// expect: a leaf such as sleep_for is no task
#include <weir/runtime/sleep.hpp>
#include <weir/runtime/task_group.hpp>

void start(weir::task_group& g) { g.spawn(weir::sleep_for(std::chrono::seconds(1))); }
