// expect: a generator of rvalue references
#include <weir/runtime/async_generator.hpp>

void take(weir::async_generator<int&&> values) { static_cast<void>(values.next()); }
