// The echo server on Asio: one thread, a coroutine for each connection, a buffer of 4 KiB in its frame. Built where
// Debian's libasio-dev is installed. Usage: peer_asio [PORT]. Ends on SIGINT or SIGTERM.

#include <asio.hpp>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace {

// The executor's own type spares a virtual call for each operation.
using context_executor = asio::io_context::executor_type;
using tcp_socket = asio::basic_stream_socket<asio::ip::tcp, context_executor>;
using tcp_acceptor = asio::basic_socket_acceptor<asio::ip::tcp, context_executor>;
template <class T>
using awaitable = asio::awaitable<T, context_executor>;
constexpr asio::use_awaitable_t<context_executor> use_awaitable;

awaitable<void> echo(tcp_socket peer) {
  std::array<char, 4096> buffer;
  for (;;) {
    asio::error_code error;
    const std::size_t n =
        co_await peer.async_read_some(asio::buffer(buffer), asio::redirect_error(use_awaitable, error));
    if (error) co_return;
    co_await asio::async_write(peer, asio::buffer(buffer, n), asio::redirect_error(use_awaitable, error));
    if (error) co_return;
  }
}

awaitable<void> serve(tcp_acceptor& acceptor) {
  for (;;) {
    tcp_socket peer = co_await acceptor.async_accept(use_awaitable);
    peer.set_option(asio::ip::tcp::no_delay(true));
    asio::co_spawn(acceptor.get_executor(), echo(std::move(peer)), asio::detached);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const auto port = static_cast<unsigned short>(argc > 1 ? std::atoi(argv[1]) : 0);
  asio::io_context context(1);
  asio::signal_set signals(context, SIGINT, SIGTERM);
  signals.async_wait([&](const asio::error_code&, int) { context.stop(); });
  tcp_acceptor acceptor(context.get_executor(), {asio::ip::address_v4::loopback(), port});
  std::printf("listening on 127.0.0.1:%d\n", acceptor.local_endpoint().port());
  std::fflush(stdout);
  asio::co_spawn(context, serve(acceptor), asio::detached);
  context.run();
}
