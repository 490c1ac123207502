// expect: nodiscard
// Nothing was sent: the operation was not awaited.
#include <weir/sync/channel.hpp>

void start(weir::channel<int>& numbers) { numbers.send(1); }
