// expect(clang): nodiscard
// A task that is not awaited does nothing.
#include <weir/runtime/task.hpp>

weir::task<> work();

void start() { work(); }
