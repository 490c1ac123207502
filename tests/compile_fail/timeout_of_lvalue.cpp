// expect: no matching
#include <weir/runtime/task.hpp>
#include <weir/runtime/with_timeout.hpp>

weir::task<> work();

weir::task<> main_task() {
  auto t = work();
  co_await weir::with_timeout(std::chrono::seconds(1), t);
}
