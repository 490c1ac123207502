// TLS echo on weir-tls: one worker, one task for each connection.
// Usage: weir_tls_echo PORT CERTIFICATE.pem KEY.pem

#include "weir_server.hpp"

#include <weir/io/tls.hpp>

#include <array>
#include <cstddef>
#include <cstdlib>
#include <span>
#include <utility>

namespace {

weir::task<> echo(weir::tls_context context, weir::tcp_stream connection) {
  weir::tls_stream peer{context, std::move(connection)};
  co_await peer.handshake();
  std::array<std::byte, 16'384> buffer;
  while (std::size_t n = co_await peer.read_some(buffer)) {
    co_await peer.write_all(std::span(buffer).first(n));
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const auto context = weir::tls_context::server(weir::tls_certificate::from_files(argv[2], argv[3]));
  const auto answer = [&context](weir::tcp_stream peer) { return echo(context, std::move(peer)); };
  weir::run(bench::serve_until_signal(static_cast<std::uint16_t>(std::atoi(argv[1])), answer),
            weir::runtime_options{.workers = 1});
}
