// expect: nodiscard
#include <weir/runtime/task.hpp>
#include <weir/runtime/with_timeout.hpp>

weir::task<> work();

void start() { weir::with_timeout(std::chrono::seconds(1), work()); }
