// expect(clang): temporary
// send() refers to its item until it commits.
#include <weir/runtime/task.hpp>
#include <weir/sync/channel.hpp>

weir::task<> later(weir::channel<int>& numbers) {
  auto send = numbers.send(1);
  co_await std::move(send);
}
