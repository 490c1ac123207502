#include <fmt/format.h>

#include <chrono>
#include <stdexcept>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

#include <weir/io/tls.hpp>

#include "authority.hpp"
#include "tls_ends.hpp"

using test::authority;
using test::bytes_of;
using test::client_context;
using test::common_authority;
using test::handshakes;
using test::read_text;
using test::run_tls;
using test::server_context;
using test::shake_hands;
using test::tls_connected;
using test::tls_ends;
using test::tls_pair;
using weir::as_result;
using weir::task;
using weir::tls_context;
using weir::tls_errc;

static_assert(weir::read_stream<weir::tls_stream<weir::tcp_stream>>);
static_assert(weir::write_stream<weir::tls_stream<weir::unix_stream&>>);
static_assert(!std::is_copy_constructible_v<weir::tls_stream<weir::tcp_stream>>);
static_assert(std::is_nothrow_move_constructible_v<weir::tls_stream<weir::tcp_stream>>);
static_assert(std::is_default_constructible_v<weir::tls_stream<weir::tcp_stream>>);
static_assert(!std::is_default_constructible_v<weir::tls_stream<weir::tcp_stream&>>);

namespace {

/// Both handshakes under these contexts, on a connection of their own.
handshakes try_hands(const tls_context& client, const tls_context& server, std::string host = "server.test") {
  handshakes how;
  run_tls([&]() -> task<> {
    tls_ends ends = tls_pair(client, server, host);
    how = co_await shake_hands(ends);
  });
  return how;
}

/// The same, with a server that shows `shown`.
handshakes show_to_client(const test::credentials& shown, std::string host = "server.test") {
  return try_hands(client_context(), tls_context::server(shown.loaded()), std::move(host));
}

std::string rejected(const char* reason) { return fmt::format("handshake wire: {}: certificate rejected", reason); }

}  // namespace

TEST_CASE("tls: both ends agree, know each other, and bytes go both ways until each says good-bye") {
  run_tls([]() -> task<> {
    tls_ends ends = co_await tls_connected();
    CHECK(ends.client.version() == "TLSv1.3");
    CHECK(ends.server.version() == "TLSv1.3");
    CHECK(!ends.client.cipher().empty());
    CHECK(ends.client.cipher() == ends.server.cipher());
    CHECK(ends.client.server_name() == "server.test");
    CHECK(ends.server.server_name() == "server.test");
    CHECK(ends.client.protocol().empty());
    CHECK(!ends.client.resumed());
    CHECK(!ends.server.peer_certificate());
    const auto shown = ends.client.peer_certificate();
    REQUIRE(shown);
    CHECK(shown->subject == "CN=server.test");
    CHECK(shown->issuer == "CN=Test Root");
    CHECK(shown->names == std::vector<std::string>{"server.test"});
    CHECK(shown->sha256.size() == 64);
    const auto today = std::chrono::system_clock::now();
    CHECK(shown->not_before < today - std::chrono::hours(23));
    CHECK(shown->not_after > today + std::chrono::hours(24 * 29));

    co_await ends.client.write_all(bytes_of("question"));
    CHECK(ends.client.bytes_written() == 8);
    const std::string question = co_await read_text(ends.server);
    CHECK(question == "question");
    const std::size_t taken = co_await ends.server.write_some(bytes_of("answer"));
    CHECK(taken == 6);
    const std::string answer = co_await read_text(ends.client);
    CHECK(answer == "answer");
    std::span<std::byte> empty;
    const std::size_t nothing = co_await ends.server.write_some(empty);
    CHECK(nothing == 0);
    const std::size_t into_nothing = co_await ends.client.read_some(empty);
    CHECK(into_nothing == 0);

    // One way ends, the other goes on; a second end is none.
    co_await ends.client.finish();
    co_await ends.client.finish();
    const std::string end = co_await read_text(ends.server);
    CHECK(end.empty());
    co_await ends.server.write_all(bytes_of("more"));
    const std::string more = co_await read_text(ends.client);
    CHECK(more == "more");
    auto late = co_await as_result(ends.client.write_some(bytes_of("x")));
    CHECK(late.error() == std::errc::broken_pipe);
    CHECK(test::sentence_of(late) == "write wire: finish() or shutdown() came before: Broken pipe");
    co_await weir::when_all(ends.client.shutdown(), ends.server.shutdown());
    const std::string end_again = co_await read_text(ends.client);
    CHECK(end_again.empty());
  });
}

TEST_CASE("tls: a chain of certificates is followed to its root") {
  const handshakes how = show_to_client(common_authority().issue_through_another());
  CHECK(how.client.empty());
  CHECK(how.server.empty());
}

TEST_CASE("tls: a certificate is refused that is another's, too old, too new, its own, or of an unknown authority") {
  const test::credentials good = common_authority().issue({.names = {"server.test", "*.wild.test", "127.0.0.1"}});
  for (const char* host : {"server.test", "SERVER.test", "server.test.", "a.wild.test", "127.0.0.1"}) {
    const handshakes how = show_to_client(good, host);
    CHECK_MESSAGE(how.client.empty(), host << ": " << how.client);
  }
  for (const char* host : {"other.test", "a.b.wild.test", "wild.test", "test"}) {
    const handshakes how = show_to_client(good, host);
    CHECK(how.client == rejected("hostname mismatch"));
    CHECK(how.client_code == tls_errc::certificate_rejected);
    // The server is told. With TLS 1.3 its own handshake waits for the client.
    CHECK(how.server_code == tls_errc::handshake_failed);
    CHECK(how.server.find("alert") != std::string::npos);
  }
  CHECK(show_to_client(good, "127.0.0.2").client == rejected("IP address mismatch"));
  CHECK(show_to_client(good, "::1").client == rejected("IP address mismatch"));
  CHECK(show_to_client(common_authority().issue({.from_day = -9, .to_day = -1})).client ==
        rejected("certificate has expired"));
  CHECK(show_to_client(common_authority().issue({.from_day = 1})).client == rejected("certificate is not yet valid"));
  CHECK(show_to_client(authority::self_signed()).client == rejected("self-signed certificate"));
  const authority stranger("Stranger");
  CHECK(show_to_client(stranger.issue()).client == rejected("unable to get local issuer certificate"));
  CHECK(show_to_client(common_authority().issue({.for_clients = true})).client ==
        rejected("unsuitable certificate purpose"));
}

TEST_CASE("tls: the system's roots do not know the test's authority") {
  const handshakes how = try_hands(tls_context::client(), server_context());
  CHECK(how.client_code == tls_errc::certificate_rejected);
}

TEST_CASE("tls: a client that verifies has to say whom it wants; one that does not may be silent") {
  CHECK_THROWS_WITH_AS(tls_pair(client_context(), server_context(), ""),
                       "tls_stream: a client has to say which host it wants to reach", std::invalid_argument);
  const tls_context blind = tls_context::client(
      common_authority().roots(), {.accept_any_certificate_without_knowing_who_is_at_the_other_end = true});
  const tls_context dubious = tls_context::server(authority::self_signed({.to_day = 0}).loaded());
  for (const char* host : {"", "anything.test"}) {
    const handshakes how = try_hands(blind, dubious, host);
    CHECK(how.client.empty());
    CHECK(how.server.empty());
  }
}

TEST_CASE("tls: the client's name chooses the server's certificate") {
  tls_context server = server_context();
  server.add_certificate(common_authority().issue({.names = {"b.test"}}).loaded());
  server.add_certificate(common_authority().issue({.names = {"*.c.test"}}).loaded());
  const tls_context client = client_context();
  for (const auto& [host, shown] :
       {std::pair{"server.test", "server.test"}, std::pair{"b.test", "b.test"}, std::pair{"x.c.test", "*.c.test"}}) {
    run_tls([&, wanted = std::string(host), name = std::string(shown)]() -> task<> {
      tls_ends ends = tls_pair(client, server, wanted);
      const handshakes how = co_await shake_hands(ends);
      CHECK(how.client.empty());
      CHECK(ends.client.peer_certificate()->names == std::vector<std::string>{name});
      CHECK(ends.server.server_name() == wanted);
    });
  }
  // Who asks for another one sees the first, and does not want it.
  const handshakes other = try_hands(client, server, "d.test");
  CHECK(other.client == rejected("hostname mismatch"));
}

TEST_CASE("tls: protocols are agreed on, the server's order first; without one in common there is no connection") {
  const auto agreed = [](const std::vector<std::string>& offered, const std::vector<std::string>& known) {
    tls_context client = client_context();
    tls_context server = server_context();
    client.set_protocols(offered);
    server.set_protocols(known);
    std::string result;
    run_tls([&]() -> task<> {
      tls_ends ends = tls_pair(client, server);
      const handshakes how = co_await shake_hands(ends);
      CHECK(ends.client.protocol() == ends.server.protocol());
      result = how.client.empty() ? ends.client.protocol() : how.server;
      if (!how.client.empty()) CHECK(how.client_code == tls_errc::handshake_failed);
    });
    return result;
  };
  CHECK(agreed({"http/1.1", "h2"}, {"h2", "http/1.1"}) == "h2");
  CHECK(agreed({"http/1.1"}, {"h2", "http/1.1"}) == "http/1.1");
  CHECK(agreed({}, {"h2"}).empty());
  CHECK(agreed({"h2"}, {}).empty());
  CHECK(agreed({"h3"}, {"h2"}) == "handshake wire: no application protocol: TLS handshake failed");
  tls_context context = client_context();
  CHECK_THROWS_AS(context.set_protocols({""}), std::invalid_argument);
  CHECK_THROWS_AS(context.set_protocols({std::string(256, 'x')}), std::invalid_argument);
}

TEST_CASE("tls: versions: 1.2 is the least, 1.3 may be asked for") {
  const tls_context only_new = server_context({.minimum = weir::tls_version::tls_1_3});
  const handshakes how = try_hands(client_context({.minimum = weir::tls_version::tls_1_3}), only_new);
  CHECK(how.client.empty());
}

TEST_CASE("tls: a server asks its clients for a certificate") {
  tls_context server = server_context();
  server.verify_clients(common_authority().roots());
  run_tls([&]() -> task<> {
    tls_context client = client_context();
    client.add_certificate(common_authority().issue({.names = {"client.test"}, .for_clients = true}).loaded());
    tls_ends ends = co_await tls_connected(client, server);
    REQUIRE(ends.server.peer_certificate());
    CHECK(ends.server.peer_certificate()->subject == "CN=client.test");
  });
  run_tls([&]() -> task<> {
    tls_ends ends = tls_pair(client_context(), server);
    const handshakes how = co_await shake_hands(ends);
    CHECK(how.server == "handshake wire: peer did not return a certificate: TLS handshake failed");
    // The client was done before the server looked.
    CHECK(how.client.empty());
    auto told = co_await as_result(read_text(ends.client));
    CHECK(told.error() == tls_errc::protocol_error);
    CHECK(test::sentence_of(told) == "read wire: tlsv13 alert certificate required: TLS protocol error");
    auto again = co_await as_result(ends.client.write_some(bytes_of("x")));
    CHECK(again.error() == tls_errc::protocol_error);
  });
  run_tls([&]() -> task<> {
    const authority stranger("Stranger");
    tls_context client = client_context();
    client.add_certificate(stranger.issue({.names = {"client.test"}, .for_clients = true}).loaded());
    tls_ends ends = tls_pair(client, server);
    const handshakes how = co_await shake_hands(ends);
    CHECK(how.server == rejected("unable to get local issuer certificate"));
  });
  server.verify_clients(common_authority().roots(), false);
  const handshakes tolerated = try_hands(client_context(), server);
  CHECK(tolerated.server.empty());
  tls_context client = client_context();
  CHECK_THROWS_AS(client.verify_clients(common_authority().roots()), std::invalid_argument);
}

// ---- sessions

namespace {

/// Connects and says something both ways: whether it was resumed. A session of TLS 1.3 comes with what is read.
task<bool> visit(tls_context client, tls_context server, std::string host = "server.test") {
  tls_ends ends = tls_pair(client, server, host);
  const handshakes how = co_await shake_hands(ends);
  CHECK(how.client.empty());
  CHECK(how.server.empty());
  co_await ends.server.write_all(bytes_of("hello"));
  const std::string text = co_await read_text(ends.client);
  CHECK(text == "hello");
  CHECK(ends.client.resumed() == ends.server.resumed());
  CHECK(ends.client.peer_certificate().has_value());
  co_return ends.client.resumed();
}

}  // namespace

TEST_CASE("tls: the second connection to a host is resumed, and only to that host, by that context, to that server") {
  run_tls([]() -> task<> {
    tls_context server = server_context();
    server.add_certificate(common_authority().issue({.names = {"b.test"}}).loaded());
    const tls_context client = client_context();
    CHECK(client.sessions() == 0);
    const bool first = co_await visit(client, server);
    CHECK(!first);
    CHECK(client.sessions() == 1);
    const bool other_host = co_await visit(client, server, "b.test");
    CHECK(!other_host);
    CHECK(client.sessions() == 2);
    for (int i = 0; i < 3; ++i) {
      const bool next = co_await visit(client, server);
      CHECK(next);
    }
    const bool other_client = co_await visit(client_context(), server);
    CHECK(!other_client);
    const bool other_server = co_await visit(client, server_context());
    CHECK(!other_server);
  });
}

TEST_CASE("tls: no session where either end wants none, and the oldest goes when there are too many") {
  run_tls([]() -> task<> {
    for (const auto& [client, server] : {std::pair{client_context({.sessions = 0}), server_context()},
                                         std::pair{client_context(), server_context({.resumption = false})}}) {
      for (int i = 0; i < 2; ++i) {
        const bool resumed = co_await visit(client, server);
        CHECK(!resumed);
        CHECK(client.sessions() == 0);
      }
    }
    tls_context server = server_context();
    server.add_certificate(common_authority().issue({.names = {"*.many.test"}}).loaded());
    const tls_context client = client_context({.sessions = 2});
    for (const char* host : {"a.many.test", "b.many.test", "c.many.test"}) co_await visit(client, server, host);
    CHECK(client.sessions() == 2);
    const bool newest = co_await visit(client, server, "c.many.test");
    CHECK(newest);
    const bool oldest = co_await visit(client, server, "a.many.test");
    CHECK(!oldest);
  });
}

// ---- what is no handshake

TEST_CASE("tls: what is no TLS, and who goes away in the middle, are told as such") {
  run_tls([]() -> task<> {
    auto [a, b] = weir::unix_stream::pair();
    weir::tls_stream server{server_context(), test::wire(std::move(a))};
    co_await b.write_all(bytes_of("GET / HTTP/1.1\r\nHost: server.test\r\n\r\n"));
    auto refused = co_await as_result(server.handshake());
    CHECK(refused.error() == tls_errc::handshake_failed);
    CHECK(test::sentence_of(refused) == "handshake wire: http request: TLS handshake failed");
    auto again = co_await as_result(server.handshake());
    CHECK(test::sentence_of(again) == test::sentence_of(refused));
  });
  run_tls([]() -> task<> {
    auto [a, b] = weir::unix_stream::pair();
    weir::tls_stream client{client_context(), test::wire(std::move(a)), "server.test"};
    co_await b.write_all(bytes_of("220 mail.test ESMTP ready\r\n"));
    auto refused = co_await as_result(client.handshake());
    CHECK(test::sentence_of(refused) == "handshake wire: wrong version number: TLS handshake failed");
  });
  // A client that ends after each of its first bytes.
  run_tls([]() -> task<> {
    std::string hello;
    {
      auto [a, b] = weir::unix_stream::pair();
      weir::tls_stream client{client_context(), test::wire(std::move(a)), "server.test"};
      b.shutdown(weir::direction::write);
      auto alone = co_await as_result(client.handshake());
      CHECK(test::sentence_of(alone) == "handshake wire: the peer has closed the connection: TLS handshake failed");
      hello = co_await read_text(b, 4096);
      CHECK(hello.size() > 200);
    }
    for (const std::size_t length : {std::size_t{0}, std::size_t{1}, std::size_t{5}, std::size_t{100}, hello.size()}) {
      auto [a, b] = weir::unix_stream::pair();
      weir::tls_stream server{server_context(), test::wire(std::move(a))};
      co_await b.write_all(bytes_of(std::string_view(hello).substr(0, length)));
      b.shutdown(weir::direction::write);
      auto alone = co_await as_result(server.handshake());
      CHECK(test::sentence_of(alone) == "handshake wire: the peer has closed the connection: TLS handshake failed");
    }
  });
}

TEST_CASE("tls: a handshake whose every byte comes alone") {
  run_tls([]() -> task<> {
    tls_ends ends = tls_pair(client_context(), server_context());
    for (test::wire* end : {&ends.client.transport(), &ends.server.transport()}) {
      end->largest_read = 1;
      end->largest_write = 7;
    }
    const handshakes how = co_await shake_hands(ends);
    CHECK(how.client.empty());
    CHECK(how.server.empty());
    CHECK(ends.server.transport().reads > 200);
    co_await ends.client.write_all(bytes_of("hello"));
    const std::string text = co_await read_text(ends.server);
    CHECK(text == "hello");
  });
}

TEST_CASE("tls: before the handshake nothing is read or written, and without a stream nothing is done") {
  run_tls([]() -> task<> {
    tls_ends ends = tls_pair(client_context(), server_context());
    auto early = co_await as_result(ends.client.write_some(bytes_of("x")));
    CHECK(test::sentence_of(early).starts_with("write wire: the handshake is not done: "));
    CHECK(early.error() == std::errc::not_connected);
    auto end = co_await as_result(ends.client.shutdown());
    CHECK(end.error() == std::errc::not_connected);
    CHECK(ends.client.transport().writes == 0);
    weir::tls_stream<weir::tcp_stream> none;
    auto nothing = co_await as_result(none.handshake());
    CHECK(test::sentence_of(nothing) == "handshake a tls_stream without a stream: Bad file descriptor");
    CHECK(none.version().empty());
  });
}
