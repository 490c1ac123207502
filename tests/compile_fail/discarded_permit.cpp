// expect(clang): nodiscard
// The room is given back at once.
#include <weir/runtime/task.hpp>
#include <weir/sync/channel.hpp>

weir::task<> prepare(weir::channel<int>& numbers) { co_await numbers.reserve(); }
