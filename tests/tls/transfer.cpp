#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include <weir/io/tls.hpp>

#include "../io/guarded_buffer.hpp"
#include "raw_peer.hpp"
#include "tls_ends.hpp"

using test::both_ways;
using test::bytes_of;
using test::client_context;
using test::expect_pattern;
using test::guarded_buffer;
using test::raw_peer;
using test::read_text;
using test::run_tls;
using test::send_pattern;
using test::sentence_of;
using test::server_context;
using test::tls_connected;
using test::tls_ends;
using weir::as_result;
using weir::task;
using weir::task_group;
using weir::tls_errc;
using weir::with_task_group;

TEST_CASE("tls: much goes both ways at once, a task for each way at each end, on one worker and on several") {
  for (const unsigned workers : {1u, 3u}) {
    run_tls(
        []() -> task<> {
          tls_ends ends = co_await tls_connected();
          co_await both_ways(ends.client, ends.server, 3'000'000);
        },
        workers);
  }
}

TEST_CASE("tls: over a transport that takes and gives little at a time") {
  run_tls([]() -> task<> {
    tls_ends ends = co_await tls_connected();
    ends.client.transport().socket().set_send_buffer(4096);
    ends.client.transport().largest_read = 333;
    ends.server.transport().largest_write = 1'234;
    co_await both_ways(ends.client, ends.server, 200'000);
  });
}

namespace {

template <class Stream>
task<> over_tcp() {
  auto listener = weir::tcp_listener::bind(weir::endpoint::loopback(0));
  std::optional<weir::tls_stream<weir::tcp_stream>> server;
  const auto accepts = [&]() -> task<> {
    weir::tcp_stream peer = co_await listener.accept();
    peer.set_linger(std::chrono::seconds(0));
    server.emplace(server_context(), std::move(peer));
    co_await server->handshake();
  };
  std::optional<weir::tls_stream<weir::tcp_stream>> client;
  const auto connects = [&]() -> task<> {
    weir::tcp_stream connection = co_await weir::tcp_stream::connect(listener.local_endpoint());
    client.emplace(client_context(), std::move(connection), "server.test");
    co_await client->handshake();
    CHECK(client->name() == listener.local_endpoint().to_string());
  };
  co_await weir::when_all(accepts(), connects());
  co_await both_ways(*client, *server, 1'200'000);
  co_await weir::when_all(client->shutdown(), server->shutdown());
}

}  // namespace

TEST_CASE("tls: over TCP, and over the network of a simulation") {
  for (const unsigned workers : {1u, 3u}) run_tls([] { return over_tcp<weir::tcp_stream>(); }, workers);
  for (const std::uint64_t seed : {1u, 2u, 3u}) test::simulate([] { return over_tcp<weir::tcp_stream>(); }, seed);
}

TEST_CASE("tls: what works over any stream works over it") {
  run_tls([]() -> task<> {
    tls_ends ends = co_await tls_connected();
    weir::buffered_writer writer{ends.client};
    co_await writer.write("first\nsecond\r\n");
    co_await writer.write("third");
    co_await writer.flush();
    co_await ends.client.finish();
    weir::buffered_reader reader{ends.server};
    std::string all;
    while (auto line = co_await reader.read_line()) all += *line + "|";
    CHECK(all == "first|second|third|");

    // A stream that is lent; and free functions.
    co_await weir::write_all(ends.server, "12345678");
    std::string exactly(8, '?');
    co_await weir::read_exactly(ends.client, test::writable(exactly));
    CHECK(exactly == "12345678");
    auto [a, b] = weir::unix_stream::pair();
    const auto copies = [&, &to = a]() -> task<> {
      const std::uint64_t n = co_await weir::copy(ends.client, to);
      CHECK(n == 100'000);
      to.shutdown(weir::direction::write);
    };
    co_await weir::when_all(send_pattern(ends.server, 100'000), copies(), expect_pattern(b, 100'000));
  });
}

TEST_CASE("tls: a stream may be lent, and moved between operations") {
  run_tls([]() -> task<> {
    auto [a, b] = weir::unix_stream::pair();
    weir::tls_stream client{client_context(), a, "server.test"};
    static_assert(std::is_same_v<decltype(client), weir::tls_stream<weir::unix_stream&>>);
    weir::tls_stream server{server_context(), std::move(b)};
    co_await weir::when_all(client.handshake(), server.handshake());
    weir::tls_stream moved = std::move(client);
    CHECK(&moved.transport() == &a);
    co_await moved.write_all(bytes_of("hello"));
    const std::string text = co_await read_text(server);
    CHECK(text == "hello");
    std::span<std::byte> empty;
    auto gone = co_await as_result(client.read_some(empty));  // NOLINT(bugprone-use-after-move): what it says
    CHECK(gone.error() == std::errc::bad_file_descriptor);
  });
}

TEST_CASE("tls: a second reader and a second writer are told") {
  run_tls([]() -> task<> {
    tls_ends ends = co_await tls_connected();
    const auto body = [&](task_group& group) -> task<> {
      group.spawn([](tls_ends& of) -> task<> {
        const std::string text = co_await read_text(of.client);
        CHECK(text == "late");
      }(ends));
      co_await test::settle_down(20);
      std::array<std::byte, 8> other{};
      auto second = co_await as_result(ends.client.read_some(other));
      CHECK(second.error() == std::errc::device_or_resource_busy);
      CHECK(sentence_of(second) == "read wire: another task is doing so at the same time: Device or resource busy");
      auto end = co_await as_result(ends.client.shutdown());
      CHECK(end.error() == std::errc::device_or_resource_busy);
      co_await ends.client.write_all(bytes_of("a writer is another thing"));
      co_await ends.server.write_all(bytes_of("late"));
    };
    co_await with_task_group(body);
  });
}

TEST_CASE("tls: a connection that ends without a farewell was cut off; what came before is still read") {
  run_tls([]() -> task<> {
    tls_ends ends = co_await tls_connected();
    co_await ends.server.write_all(bytes_of("the first half"));
    ends.server.transport().socket().shutdown(weir::direction::write);
    const std::string text = co_await read_text(ends.client);
    CHECK(text == "the first half");
    for (int i = 0; i < 2; ++i) {
      auto cut = co_await as_result(read_text(ends.client));
      CHECK(cut.error() == tls_errc::truncated);
      CHECK(sentence_of(cut) == "read wire: the connection ended without close_notify: stream was cut off");
    }
    // The other way is still open.
    co_await ends.client.write_all(bytes_of("still here"));
    const std::string here = co_await read_text(ends.server);
    CHECK(here == "still here");
    auto end = co_await as_result(ends.client.shutdown());
    CHECK(end.error() == tls_errc::truncated);
    const std::string farewell = co_await read_text(ends.server);
    CHECK(farewell.empty());
  });
}

TEST_CASE("tls: a byte that was changed on its way ends the connection, and the peer is told why") {
  run_tls([]() -> task<> {
    tls_ends ends = co_await tls_connected();
    ends.client.transport().on_read = [](std::span<std::byte> bytes) {
      if (!bytes.empty()) bytes.back() ^= std::byte{1};
    };
    co_await ends.server.write_all(bytes_of("hello"));
    for (int i = 0; i < 2; ++i) {
      auto changed = co_await as_result(read_text(ends.client));
      CHECK(changed.error() == tls_errc::protocol_error);
      CHECK(sentence_of(changed) == "read wire: decryption failed or bad record mac: TLS protocol error");
    }
    auto end = co_await as_result(ends.client.shutdown());
    CHECK(end.error() == tls_errc::protocol_error);
    auto told = co_await as_result(read_text(ends.server));
    CHECK(told.error() == tls_errc::protocol_error);
    CHECK(sentence_of(told) == "read wire: sslv3 alert bad record mac: TLS protocol error");
  });
}

// ---- what only others do

namespace {

/// A server of weir and a client that is OpenSSL, their handshake done.
struct raw_ends {
  explicit raw_ends(std::pair<weir::unix_stream, weir::unix_stream> both, int version = TLS1_3_VERSION)
      : client(std::move(both.first), version), server(server_context(), std::move(both.second)) {}
  task<> handshake() { co_await weir::when_all(client.handshake(), server.handshake()); }

  raw_peer client;
  weir::tls_stream<weir::unix_stream> server;
};

}  // namespace

TEST_CASE("tls: a peer changes its keys, and wants ours changed, while we read, write, or only read") {
  run_tls([]() -> task<> {
    raw_ends ends(weir::unix_stream::pair());
    co_await ends.handshake();
    for (int i = 0; i < 5; ++i) {
      ends.client.write("before");
      ends.client.update_keys();
      ends.client.write("after");
      co_await ends.client.flush();
      std::string text(11, '?');
      co_await weir::read_exactly(ends.server, test::writable(text));
      CHECK(text == "beforeafter");
      co_await ends.server.write_all(bytes_of("with new keys"));
      const std::string answer = co_await ends.client.read();
      CHECK(answer == "with new keys");
    }
    // Nothing has to be written for it, and nothing piles up.
    for (int i = 0; i < 3'000; ++i) {
      ends.client.update_keys();
      ends.client.write("x");
      co_await ends.client.flush();
      const std::string text = co_await read_text(ends.server);
      REQUIRE(text == "x");
    }
    co_await ends.server.write_all(bytes_of("the first for long"));
    const std::string answer = co_await ends.client.read();
    CHECK(answer == "the first for long");
  });
}

TEST_CASE("tls: a write waits for the rest of a message that has come in part, with a task that reads and without") {
  for (const bool somebody_reads : {true, false}) {
    run_tls([&]() -> task<> {
      auto [a, b] = weir::unix_stream::pair();
      raw_peer server(std::move(a));
      server.serve(test::common_authority().issue());
      SSL_set_max_send_fragment(server.ssl(), 512);  // a ticket, which has the client's certificate in it, is longer
      weir::tls_context context = client_context();
      context.add_certificate(test::common_authority().issue({.for_clients = true}).loaded());
      weir::tls_stream client{context, std::move(b), "server.test"};
      co_await weir::when_all(server.handshake(true), client.handshake());
      const std::string tickets = server.pending();
      const auto byte = [&](std::size_t i) { return static_cast<std::size_t>(static_cast<unsigned char>(tickets[i])); };
      const std::size_t first = 5 + byte(3) * 256 + byte(4);
      REQUIRE(tickets.size() > first + 100);
      co_await server.send_bytes(tickets.substr(0, first));
      const auto body = [&](task_group& group) -> task<> {
        auto reading = group.spawn(read_text(client));
        co_await test::settle_down();
        CHECK(!reading.done());
        if (!somebody_reads) {
          reading.request_cancellation();
          while (!reading.done()) co_await weir::yield();
        }
        auto writing = group.spawn(client.write_all(bytes_of("at last")));
        co_await test::settle_down();
        CHECK(!writing.done());
        co_await server.send_bytes(tickets.substr(first));
        co_await writing.join();
        const std::string got = co_await server.read();
        CHECK(got == "at last");
        group.cancel();
      };
      auto ended = co_await as_result(with_task_group(body));
      static_cast<void>(ended);  // it was cancelled
      CHECK(client.bytes_written() == 7);
    });
  }
}

TEST_CASE("tls: TLS 1.2 is spoken, and another handshake refused") {
  run_tls([]() -> task<> {
    raw_ends ends(weir::unix_stream::pair(), TLS1_2_VERSION);
    co_await ends.handshake();
    CHECK(ends.server.version() == "TLSv1.2");
    SSL_renegotiate(ends.client.ssl());
    SSL_do_handshake(ends.client.ssl());
    co_await ends.client.flush();
    const auto body = [&](task_group& group) -> task<> {
      bool cut = false;
      const auto reads = [&]() -> task<> {
        auto r = co_await as_result(read_text(ends.server));
        cut = r.error() == tls_errc::truncated;
      };
      auto reading = group.spawn(reads());
      co_await test::settle_down();
      CHECK(!reading.done());
      co_await ends.server.write_all(bytes_of("no"));
      // OpenSSL's client gives up where it is refused.
      auto refused = co_await as_result(ends.client.read());
      CHECK(!refused.has_value());
      CHECK(ERR_GET_REASON(ERR_peek_error()) == SSL_R_NO_RENEGOTIATION);
      ERR_clear_error();
      ends.client.socket().shutdown(weir::direction::write);
      co_await reading.join();
      CHECK(cut);
    };
    co_await with_task_group(body);
  });
}

TEST_CASE("tls: an older version is refused") {
  run_tls([]() -> task<> {
    auto [a, b] = weir::unix_stream::pair();
    raw_peer old(std::move(a), TLS1_1_VERSION);
    SSL_set_security_level(old.ssl(), 0);
    weir::tls_stream server{server_context(), std::move(b)};
    SSL_do_handshake(old.ssl());
    co_await old.flush();
    auto refused = co_await as_result(server.handshake());
    CHECK(refused.error() == tls_errc::handshake_failed);
    CHECK(sentence_of(refused).find("unsupported protocol") != std::string::npos);
  });
}
