// expect: load(), compute, store_if()
// The copy would be published before the task has begun.
#include <weir/sync/snapshot.hpp>

weir::task<> change(int& n) {
  ++n;
  co_return;
}
void use(weir::snapshot<int>& s) { s.update(change); }
