// expect: A read or write is not selectable, because one that was not chosen may have moved bytes: use when_any
#include <weir/io/tcp.hpp>
#include <weir/sync/channel.hpp>
#include <weir/sync/select.hpp>

weir::task<> serve(weir::tcp_stream& stream, weir::channel<int>& numbers, std::span<std::byte> buffer) {
  const auto chosen = co_await weir::select(stream.read_some(buffer), numbers.receive());
  static_cast<void>(chosen);
}
