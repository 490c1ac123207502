// An HTTPS server that says hello: TLS at both ends, a time limit for each step, a clean end on SIGINT or SIGTERM.
// Usage: https_server [PORT CHAIN.pem KEY.pem]
// Without arguments it picks a port, has a certificate that it trusts itself, asks itself, and ends.

#include <weir/io/tls.hpp>
#include <weir/weir.hpp>

#include <fmt/format.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>

using namespace std::chrono_literals;

// For localhost, and for this example only: everybody has its key.
constexpr const char* example_certificate =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBmjCCAUGgAwIBAgIUbMvn5w2ld8jHL4yUK1KBb/C1BnEwCgYIKoZIzj0EAwIw\n"
    "FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEzMDA4MjU0NloYDzIxMjYxMTA2\n"
    "MDgyNTQ2WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO\n"
    "PQMBBwNCAASv2w+fmlVSa9579xodHpq/jaNZiejRBzbvJn5LRhCWpBtG5OXqhp09\n"
    "VNlxxYaqHPuIEAnFMQH4TNiecmvKNHENo28wbTAdBgNVHQ4EFgQUwDlle/xkmQEJ\n"
    "P4+7iN0kZV76BU4wHwYDVR0jBBgwFoAUwDlle/xkmQEJP4+7iN0kZV76BU4wDwYD\n"
    "VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI\n"
    "zj0EAwIDRwAwRAIgbpr9JDBLeHeMkzV58WPpO8jkTFtZMcjGxW2eamOR7NICIDH9\n"
    "hx2+EqsLG9w2qzqY3/yLc7i4Qh3LXJjYEBgdliv7\n"
    "-----END CERTIFICATE-----\n";
constexpr const char* example_key =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgnfcdfaY/OpkJeKeR\n"
    "3DV30OJs1hfTxCmeGM5x/muL95WhRANCAASv2w+fmlVSa9579xodHpq/jaNZiejR\n"
    "BzbvJn5LRhCWpBtG5OXqhp09VNlxxYaqHPuIEAnFMQH4TNiecmvKNHEN\n"
    "-----END PRIVATE KEY-----\n";

weir::task<> answer(weir::tls_context context, weir::tcp_stream connection) {
  weir::tls_stream peer{context, std::move(connection)};
  co_await weir::with_timeout(10s, peer.handshake());
  weir::buffered_reader reader{peer, {.bound = 8192}};
  while (auto line = co_await weir::with_timeout(10s, reader.read_line())) {
    if (line->empty()) break;  // the end of the request's head
  }
  const std::string body = fmt::format("hello over {}, {}\n", peer.version(), peer.cipher());
  const std::string head =
      fmt::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.size());
  const std::string page = head + body;
  co_await weir::with_timeout(10s, weir::write_all(peer, page));
  co_await weir::with_timeout(10s, peer.shutdown());
}

// A supervisor: who speaks no TLS, or is too slow, fails alone.
weir::task<> serve(weir::tcp_listener& listener, weir::tls_context context) {
  co_await weir::with_supervisor([&](weir::task_group& group) -> weir::task<> {
    auto arriving = weir::connections(listener);
    while (auto connection = co_await arriving.next()) group.spawn(answer(context, std::move(*connection)));
  });
}

// A client that believes the example's certificate and no other.
weir::task<> ask(weir::endpoint server) {
  weir::tls_context context = weir::tls_context::client(weir::tls_roots::from_pem(example_certificate));
  context.set_protocols({"http/1.1"});
  for (int i = 0; i < 2; ++i) {
    auto stream = co_await weir::with_timeout(10s, weir::tls_connect(context, "127.0.0.1", server.port()));
    co_await weir::write_all(stream, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    weir::buffered_reader reader{stream};
    std::string last;
    while (auto line = co_await reader.read_line()) last = *line;  // to the end, which the server has to say
    fmt::print("{}{}\n", last, stream.resumed() ? " (resumed)" : "");
    co_await weir::with_timeout(10s, stream.shutdown());
  }
}

weir::task<> async_main(std::uint16_t port, weir::tls_certificate own) {
  weir::signal_set signals{SIGINT, SIGTERM};
  auto listener = weir::tcp_listener::bind(weir::endpoint::loopback(port));
  fmt::print("listening on {}\n", listener.local_endpoint());
  std::fflush(stdout);
  weir::tls_context context = weir::tls_context::server(own);
  context.set_protocols({"http/1.1"});
  if (port == 0) {
    co_await weir::when_any(serve(listener, context), ask(listener.local_endpoint()));
  } else {
    co_await weir::when_any(serve(listener, context), signals.wait());
  }
}

int main(int argc, char** argv) {
  const auto port = argc > 3 ? static_cast<std::uint16_t>(std::atoi(argv[1])) : std::uint16_t{0};
  weir::tls_certificate own = argc > 3 ? weir::tls_certificate::from_files(argv[2], argv[3])
                                       : weir::tls_certificate::from_pem(example_certificate, example_key);
  weir::run(async_main(port, std::move(own)));
}
