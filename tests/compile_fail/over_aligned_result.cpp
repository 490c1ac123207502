// expect: over-aligned results do not fit a coroutine frame
#include <weir/runtime/task.hpp>

struct alignas(64) line {
  char bytes[64];
};

weir::task<line> make() { co_return line(); }
