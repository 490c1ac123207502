// expect: a generator of void has nothing to yield
#include <weir/runtime/async_generator.hpp>

void take(weir::async_generator<void> nothing) { static_cast<void>(nothing.next()); }
