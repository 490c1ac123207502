// expect: co_await lock() instead
// The lock would be released before the task has begun.
#include <weir/runtime/task.hpp>
#include <weir/sync/mutex.hpp>

weir::task<> change() { co_return; }
void use(weir::mutex& m) { static_cast<void>(m.with_lock(change)); }
