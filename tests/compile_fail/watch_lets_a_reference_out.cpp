// expect: of no use without its lock
// The value may change as soon as with() returns.
#include <weir/sync/watch.hpp>

const int& peek(const weir::watch<int>& w) {
  return w.with([](const int& n) -> const int& { return n; });
}
