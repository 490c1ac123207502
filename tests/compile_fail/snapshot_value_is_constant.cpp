// expect: operator*
// Others read the same version.
#include <weir/sync/snapshot.hpp>

void use(weir::snapshot<int>& s) { *s.load() = 1; }
