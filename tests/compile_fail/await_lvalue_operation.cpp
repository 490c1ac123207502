// expect: an operation is awaited once, and given away
// The same for operations.
#include <weir/runtime/sleep.hpp>
#include <weir/runtime/task.hpp>

weir::task<> main_task() {
  auto sleep = weir::sleep_for(std::chrono::seconds(1));
  co_await sleep;
}
