// expect: for a value there is lazy<T>
// Of a value that only one of them has made, the others would get nothing.
#include <weir/sync/once.hpp>

weir::task<> use(weir::once& o) {
  co_await o.call([] { return 1; });
}
