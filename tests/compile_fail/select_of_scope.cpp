// expect: select takes sends, receives, permits, sleeps, ticks, events
// The scope belongs around the select.
#include <weir/runtime/with_timeout.hpp>
#include <weir/sync/channel.hpp>
#include <weir/sync/select.hpp>

weir::task<> serve(weir::channel<int>& a, weir::channel<int>& b) {
  const auto chosen = co_await weir::select(weir::with_timeout(std::chrono::seconds(1), a.receive()), b.receive());
  static_cast<void>(chosen);
}
