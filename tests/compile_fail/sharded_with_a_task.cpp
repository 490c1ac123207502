// expect: co_await lock() instead
// The lock would be released before the task has begun.
#include <weir/sync/sharded.hpp>

weir::task<> change(int& n) {
  ++n;
  co_return;
}
void use(weir::sharded<int, std::mutex>& s) { s.with(1, change); }
