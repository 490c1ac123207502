// expect: basic_string
// A snapshot has one type, unlike Go's atomic.Value, which panics.
#include <string>

#include <weir/sync/snapshot.hpp>

void use(weir::snapshot<int>& s) { s.store(std::string("7")); }
