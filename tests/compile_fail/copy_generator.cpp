// expect: deleted
#include <weir/runtime/async_generator.hpp>

void twice(const weir::async_generator<int>& values) { weir::async_generator<int> copy = values; }
