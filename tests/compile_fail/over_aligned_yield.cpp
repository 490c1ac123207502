// expect: over-aligned values do not fit a coroutine frame
#include <weir/runtime/async_generator.hpp>

struct alignas(64) line {
  char bytes[64];
};

weir::async_generator<line> make() { co_yield line(); }
