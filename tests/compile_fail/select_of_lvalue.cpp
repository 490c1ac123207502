// expect: no matching function for call to
// An operation is used once: it is made in the call, or moved there.
#include <weir/sync/channel.hpp>
#include <weir/sync/select.hpp>

weir::task<> serve(weir::channel<int>& a, weir::channel<int>& b) {
  auto receive = a.receive();
  const auto chosen = co_await weir::select(receive, b.receive());
  static_cast<void>(chosen);
}
