// expect: return a copy
// The reference would be used without the lock.
#include <weir/sync/sharded.hpp>

weir::task<> use(weir::sharded<int>& s) {
  co_await s.with(1, [](int& n) -> int& { return n; });
}
