// expect: nodiscard
#include <weir/runtime/async_generator.hpp>

void start(weir::async_generator<int>& values) { values.next(); }
