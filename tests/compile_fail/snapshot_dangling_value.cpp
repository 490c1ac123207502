// expect(clang): temporary
// The version ends with the statement, and the value perhaps with it.
#include <weir/sync/snapshot.hpp>

int use(weir::snapshot<int>& s) {
  const int& value = *s.load();
  return value;
}
