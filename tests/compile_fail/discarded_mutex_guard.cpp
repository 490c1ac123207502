// expect(clang): nodiscard
#include <weir/runtime/task.hpp>
#include <weir/sync/mutex.hpp>

weir::task<> add(weir::mutex& m, int& sum) {
  co_await m.lock();  // the guard dies here, and with it the lock
  ++sum;
}
