// expect: an operation is awaited once, and given away
// A task is awaited once, so it is given away: co_await std::move(t), or the call itself.
#include <weir/runtime/task.hpp>

weir::task<> work();

weir::task<> main_task() {
  weir::task<> t = work();
  co_await t;
}
